-- Which are the best known tracks of the artists of the global top 50?
select
    artist_id::varchar as artist_id,
    album::varchar as album,
    song_id::varchar as song_id,
    song::varchar as title,
    fetched_at::timestamp_ntz as fetched_at
from {{ source('lookups', 'spotify_artist_top_tracks') }}
where song_id is not null
qualify row_number() over (partition by artist_id, song_id order by fetched_at desc, album) = 1
