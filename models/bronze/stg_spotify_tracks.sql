-- Whose are the songs of the global top 50 that the chart's page does not give artist ids for?
select
    track_id::varchar as track_id,
    song::varchar as title,
    artist_ids,
    artists,
    fetched_at::timestamp_ntz as fetched_at
from {{ source('lookups', 'spotify_tracks') }}
where track_id is not null
qualify row_number() over (partition by track_id order by fetched_at desc) = 1
