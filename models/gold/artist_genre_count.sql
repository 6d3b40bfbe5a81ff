-- Of which genres are the artists of today's global top 50?
with artist_info as (

    select artist_id, artist_genre, date_time from {{ ref('artist_info_globaltop50') }}

),

today as (

    select max(date_time) as date_time from artist_info

),

of_today as (

    select a.artist_id, a.artist_genre, a.date_time
    from artist_info a
    join today t on t.date_time = a.date_time

),

by_genre as (

    select f.value::varchar as artist_genre, o.artist_id, o.date_time
    from of_today o,
        lateral flatten(input => o.artist_genre) f

)

select
    artist_genre,
    count(distinct artist_id) as genre_count,
    date_time
from by_genre
group by artist_genre, date_time
order by genre_count desc, artist_genre
