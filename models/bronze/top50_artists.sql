-- Which artists of the global top 50 are to be looked up?
select distinct artist_id
from {{ ref('top50_songs_by_artist') }}
where nullif(artist_id, '') is not null
