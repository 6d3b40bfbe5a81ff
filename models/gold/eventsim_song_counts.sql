-- Which songs are played most?
select song, artist, count(*) as song_count
from {{ ref('eventsim_log') }}
group by song, artist
order by song_count desc, song, artist
