-- Which songs rose and which fell since the previous chart?
with charts as (

    select title, artist, source, rank, "DATE"
    from {{ ref('music_charts') }}
    where {{ as_of('"DATE"') }}

),

chart_dates as (

    select "DATE", row_number() over (order by "DATE" desc) as age
    from (select distinct "DATE" from charts) d

),

-- a song that a service lists twice on one day counts with its better place
ranked as (

    select c.title, c.artist, c.source, d.age, min(c.rank) as rank
    from charts c
    join chart_dates d on d."DATE" = c."DATE"
    where d.age <= 2
    group by c.title, c.artist, c.source, d.age

)

select
    l.title,
    l.artist,
    l.source,
    p.rank as prev_rank,
    l.rank as current_rank,
    p.rank - l.rank as rank_change
from ranked l
join ranked p on p.title = l.title and p.artist = l.artist and p.source = l.source
where l.age = 1
    and p.age = 2
order by rank_change desc, current_rank
