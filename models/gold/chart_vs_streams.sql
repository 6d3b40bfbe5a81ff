-- Do the songs that lead the charts also lead the plays?
with charted as (

    select * from {{ ref('chart_songs_daily') }}

),

played as (

    select * from {{ ref('song_plays_daily') }}

),

-- a day without any plays is a day that the streams do not cover, not one on which nobody listened
covered_days as (

    select distinct play_date from played

)

select
    c."DATE",
    c.song_key,
    c.title,
    c.artist,
    c.best_rank,
    c.avg_rank,
    c.services,
    coalesce(p.plays, 0) as plays,
    coalesce(p.listeners, 0) as listeners,
    p.play_rank
from charted c
join covered_days d on d.play_date = c."DATE"
left join played p on p.play_date = c."DATE" and p.song_key = c.song_key
order by c."DATE", c.best_rank, c.song_key
