-- Which genres stand high in today's charts?
with charts as (

    select title, rank, genre from {{ ref('music_chart_cleaned') }}

),

by_genre as (

    select f.value::varchar as genre, c.title, c.rank
    from charts c,
        lateral flatten(input => c.genre) f

)

select
    genre,
    count(distinct title) as total_songs,
    avg(rank) as avg_rank
from by_genre
group by genre
order by avg_rank
