-- Of which genres are the songs of today's global top 50?
with artist_info as (

    select title, song_genre, date_time from {{ ref('artist_info_globaltop50') }}

),

today as (

    select max(date_time) as date_time from artist_info

),

of_today as (

    select a.title, a.song_genre, a.date_time
    from artist_info a
    join today t on t.date_time = a.date_time

),

by_genre as (

    select f.value::varchar as song_genre, o.title, o.date_time
    from of_today o,
        lateral flatten(input => o.song_genre) f

)

select
    song_genre,
    count(distinct title) as genre_count,
    date_time
from by_genre
group by song_genre, date_time
order by genre_count desc, song_genre
