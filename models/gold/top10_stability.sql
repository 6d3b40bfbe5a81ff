-- How long does a title stay among the first ten?
with top10 as (

    select
        title,
        "DATE",
        yearofweekiso("DATE") * 100 + weekiso("DATE") as iso_week
    from {{ ref('music_charts') }}
    where rank <= 10
        and {{ as_of('"DATE"') }}

),

by_title as (

    select
        title,
        count(distinct iso_week) as weeks,
        count(distinct "DATE") as days
    from top10
    group by title

)

select
    avg(weeks) as avg_weeks_top10,
    max(weeks) as max_weeks_top10,
    avg(days) as avg_days_top10,
    max(days) as max_days_top10
from by_title
