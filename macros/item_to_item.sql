{#
  CTEs of item-to-item collaborative filtering over a CTE or table of (SESSION_NO, SONG_NO), one row per song of a
  session. They end in `neighbours`: SONG_NO, OTHER_NO, TOGETHER, SCORE, POSITION, the `length` best others of each song.

  SCORE is the cosine of the two songs' session sets, shrunk where few sessions speak for it: two songs that met in
  the only session of either have a cosine of 1 and mean nothing. Written once, because the evaluation must judge
  what is recommended.
#}
{% macro item_to_item(session_songs, length) %}
support as (

    select song_no, count(*) as sessions
    from {{ session_songs }}
    group by song_no

),

pairs as (

    select a.song_no, b.song_no as other_no, count(*) as together
    from {{ session_songs }} a
    join {{ session_songs }} b on b.session_no = a.session_no and b.song_no <> a.song_no
    group by a.song_no, b.song_no
    having count(*) >= 2

),

similarities as (

    select
        p.song_no,
        p.other_no,
        p.together,
        p.together::float / sqrt(s.sessions::float * o.sessions::float)
            * p.together::float / (p.together::float + 5.0) as score
    from pairs p
    join support s on s.song_no = p.song_no
    join support o on o.song_no = p.other_no

),

neighbours as (

    select
        song_no,
        other_no,
        together,
        score,
        row_number() over (partition by song_no order by score desc, other_no) as position
    from similarities
    qualify row_number() over (partition by song_no order by score desc, other_no) <= {{ length }}

)
{% endmacro %}
