-- Which days does each service's chart cover, and how many of them are missing in between?
select
    source,
    min("DATE") as first_day,
    max("DATE") as last_day,
    count(distinct "DATE") as days,
    datediff(day, min("DATE"), max("DATE")) + 1 - count(distinct "DATE") as days_missing
from {{ ref('music_charts') }}
group by source
order by source
