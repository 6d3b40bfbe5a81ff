-- How much of today's charts is new?
with charts as (

    select iff(isnew, 1, 0) as is_new from {{ ref('music_chart_cleaned') }}

),

counted as (

    select count(*) as total_songs, coalesce(sum(is_new), 0) as new_songs
    from charts

)

select
    total_songs,
    new_songs,
    round(100 * new_songs / nullif(total_songs, 0), 2) as new_song_percentage
from counted
