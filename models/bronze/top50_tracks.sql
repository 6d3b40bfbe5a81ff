-- Of which songs of the global top 50 does the chart's page not tell the artists' ids?
select distinct track_id
from {{ ref('stg_spotify_top50') }}
where track_id is not null
    and coalesce(array_size(artist_ids), 0) = 0
