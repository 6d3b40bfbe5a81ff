-- Which songs were number one in two weeks or more?
with number_ones as (

    select distinct
        lower(title) as title,
        -- the year that the ISO week belongs to: 2024-12-30 is in week 1 of 2025
        yearofweekiso("DATE") as iso_year,
        weekiso("DATE") as iso_week
    from {{ ref('music_charts') }}
    where rank = 1
        and {{ as_of('"DATE"') }}

)

select
    title,
    count(*) as total_weeks_at_no1
from number_ones
group by title
having count(*) >= 2
order by total_weeks_at_no1 desc, title
