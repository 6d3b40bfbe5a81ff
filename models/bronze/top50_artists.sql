-- Which artists of the global top 50 are to be looked up?
select distinct f.value::varchar as artist_id
from {{ ref('stg_spotify_top50') }} t,
    lateral flatten(input => t.artist_ids) f
where f.value::varchar <> ''
