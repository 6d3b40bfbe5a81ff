-- Which songs should follow a song?
with heard_together as (

    select session_no, song_no from {{ ref('session_songs') }}

),

songs as (

    select distinct song_no, song, artist from {{ ref('session_songs') }}

),

{{ item_to_item('heard_together', var('recommendation_list_length')) }}

select
    s.song,
    s.artist,
    n.position,
    o.song as recommended_song,
    o.artist as recommended_artist,
    n.together as sessions_together,
    round(n.score, 6) as score
from neighbours n
join songs s on s.song_no = n.song_no
join songs o on o.song_no = n.other_no
order by s.song, s.artist, n.position
