-- How many songs does an artist have in today's charts, and how high do they stand?
with charts as (

    select artist, title, rank from {{ ref('music_chart_cleaned') }}

)

select
    artist,
    count(distinct title) as total_songs,
    min(rank) as best_rank,
    avg(rank) as avg_rank
from charts
group by artist
order by best_rank
