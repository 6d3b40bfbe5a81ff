-- What do the charts look like today?
{{ config(schema='ADHOC') }}

with charts as (

    select * from {{ ref('music_charts') }}
    where {{ as_of('"DATE"') }}

),

latest as (

    select max("DATE") as latest_date from charts

)

select
    c.rank,
    c.title,
    c.artist,
    c.genre,
    c.lastpos,
    c.image,
    c.peakpos,
    c.isnew,
    c.source,
    c."DATE" as time_date
from charts c
join latest l on l.latest_date = c."DATE"
