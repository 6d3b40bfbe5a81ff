-- At which hours is an artist listened to?
with plays as (

    select artist, hour(to_timestamp(ts, 3)) as hour_of_day
    from {{ ref('eventsim_log') }}

),

counted as (

    select artist, hour_of_day, count(*) as plays
    from plays
    group by artist, hour_of_day

)

select
    artist,
    hour_of_day,
    case
        when hour_of_day < 6 then 'night'
        when hour_of_day < 12 then 'morning'
        when hour_of_day < 18 then 'afternoon'
        else 'evening'
    end as day_part,
    plays,
    round(100 * plays / sum(plays) over (partition by artist), 2) as share_percentage,
    row_number() over (partition by artist order by plays desc, hour_of_day) = 1 as is_peak_hour
from counted
order by artist, hour_of_day
