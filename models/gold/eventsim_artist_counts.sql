-- Which artists are played most?
select artist, count(*) as artist_count
from {{ ref('eventsim_log') }}
group by artist
order by artist_count desc, artist
