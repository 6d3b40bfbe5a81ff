-- What does Spotify know about an artist of the global top 50, found by id?
select
    artist_id::varchar as artist_id,
    artist::varchar as artist,
    coalesce(genres, array_construct()) as genres,
    popularity::integer as popularity,
    fetched_at::timestamp_ntz as fetched_at
from {{ source('lookups', 'spotify_artist_info') }}
where artist_id is not null
qualify row_number() over (partition by artist_id order by fetched_at desc, artist) = 1
