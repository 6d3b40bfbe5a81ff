-- How do plays and ranks of a new song develop from its first day in the charts?
with charted as (

    select * from {{ ref('chart_songs_daily') }}

),

chart_days as (

    select distinct "DATE" from charted

),

first_chart_day as (

    select min("DATE") as first_date from charted

),

-- songs of the first chart day may be of any age, so they are left out
releases as (

    select c.song_key, min(c.title) as title, min(c.artist) as artist, min(c."DATE") as first_seen
    from charted c
    cross join first_chart_day f
    group by c.song_key, f.first_date
    having min(c."DATE") > f.first_date

),

-- a row for every chart day since then, also when the song has left the charts
release_days as (

    select
        r.song_key,
        r.title,
        r.artist,
        r.first_seen,
        d."DATE",
        datediff(day, r.first_seen, d."DATE") as days_since_first_seen
    from releases r
    join chart_days d on d."DATE" >= r.first_seen

),

played as (

    select * from {{ ref('song_plays_daily') }}

),

covered_days as (

    select distinct play_date from played

)

select
    d.song_key,
    d.title,
    d.artist,
    d.first_seen,
    d.days_since_first_seen,
    d."DATE",
    c.best_rank,
    coalesce(c.services, 0) as services,
    -- null, not 0, on days that the streams do not cover
    iff(v.play_date is null, null, coalesce(p.plays, 0)) as plays
from release_days d
left join charted c on c.song_key = d.song_key and c."DATE" = d."DATE"
left join covered_days v on v.play_date = d."DATE"
left join played p on p.song_key = d.song_key and p.play_date = d."DATE"
order by d.first_seen, d.song_key, d.days_since_first_seen
