-- How often was a song played on each day, by how many listeners, and how does that rank among all songs?
{{ config(materialized='ephemeral') }}

with plays as (

    select
        {{ song_key('song', 'artist') }} as song_key,
        userid,
        to_timestamp(ts, 3)::date as play_date
    from {{ ref('eventsim_log') }}

),

counted as (

    select play_date, song_key, count(*) as plays, count(distinct userid) as listeners
    from plays
    group by play_date, song_key

)

select
    play_date,
    song_key,
    plays,
    listeners,
    rank() over (partition by play_date order by plays desc) as play_rank
from counted
