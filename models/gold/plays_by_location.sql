-- Where is music played, day by day?
with plays as (

    select
        -- "New York-Newark, NY-NJ-PA": an area that spans states counts for the first
        split_part(trim(split_part(location, ',', 2)), '-', 1) as state,
        trim(split_part(location, ',', 1)) as city,
        to_timestamp(ts, 3)::date as play_date,
        userid,
        song,
        artist
    from {{ ref('eventsim_log') }}
    where nullif(location, '') is not null

)

select
    state,
    city,
    play_date,
    count(*) as plays,
    count(distinct userid) as listeners,
    count(distinct song || ' | ' || artist) as songs
from plays
group by state, city, play_date
order by play_date, plays desc, state, city
