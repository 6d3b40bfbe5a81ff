-- What does Spotify know about an artist of the domestic charts, found by name?
select
    key::varchar as search_name,
    artist_id::varchar as artist_id,
    artist::varchar as artist,
    coalesce(genres, array_construct()) as genres,
    popularity::integer as popularity,
    fetched_at::timestamp_ntz as fetched_at
from {{ source('lookups', 'spotify_artists') }}
qualify row_number() over (partition by key order by fetched_at desc, artist_id) = 1
