-- Which genres do Last.fm's listeners give a track?
select
    artist::varchar as artist,
    title::varchar as title,
    coalesce(tags, array_construct()) as tags,
    fetched_at::timestamp_ntz as fetched_at
from {{ source('lookups', 'lastfm_track_tags') }}
qualify row_number() over (partition by artist, title order by fetched_at desc) = 1
