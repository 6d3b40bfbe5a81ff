-- Would the recommendations have guessed the next song, and better than a list of hits does?
--
-- Leave-last-out: the last new song of every session is hidden, both methods learn from the rest and name a list
-- of songs that the session has not had; a hit is a list with the hidden song in it.
{% set list_length = var('recommendation_list_length') %}
{% set context_songs = 10 %}
{% set neighbours_per_song = 50 %}

with sessions as (

    select session_no, song_no, position_from_end from {{ ref('session_songs') }}

),

training as (

    select session_no, song_no, position_from_end
    from sessions
    where position_from_end > 1

),

-- a session with one song has nothing to guess from
hidden as (

    select h.session_no, h.song_no
    from sessions h
    join (select distinct session_no from training) t on t.session_no = h.session_no
    where h.position_from_end = 1

),

{{ item_to_item('training', neighbours_per_song) }},

-- the songs just heard say most of what comes next
guesses as (

    select t.session_no, n.other_no as song_no, sum(n.score) as score
    from training t
    join neighbours n on n.song_no = t.song_no
    where t.position_from_end <= {{ context_songs + 1 }}
    group by t.session_no, n.other_no

),

new_guesses as (

    select
        g.session_no,
        g.song_no,
        row_number() over (partition by g.session_no order by g.score desc, g.song_no) as position
    from guesses g
    left join training t on t.session_no = g.session_no and t.song_no = g.song_no
    where t.song_no is null

),

item_to_item_hits as (

    select h.session_no
    from hidden h
    join new_guesses g on g.session_no = h.session_no and g.song_no = h.song_no
    where g.position <= {{ list_length }}

),

-- The popular songs of a session are those that it has not had: the place of the hidden song in its list is its place
-- in the overall one, less the songs before it that the session has had. No list needs to be made.
popularity as (

    select song_no, row_number() over (order by sessions desc, song_no) as place
    from support

),

popularity_hits as (

    select h.session_no
    from hidden h
    join popularity hp on hp.song_no = h.song_no
    join training t on t.session_no = h.session_no
    join popularity tp on tp.song_no = t.song_no
    group by h.session_no, hp.place
    having hp.place - sum(iff(tp.place < hp.place, 1, 0)) <= {{ list_length }}

),

results as (

    select 'item-to-item' as method, count(*) as hits from item_to_item_hits

    union all

    select 'popularity' as method, count(*) as hits from popularity_hits

),

evaluated as (

    select count(*) as sessions from hidden

)

select
    r.method,
    {{ list_length }} as list_length,
    e.sessions,
    r.hits,
    round(r.hits / nullif(e.sessions, 0), 4) as hit_rate
from results r
cross join evaluated e
order by r.method
