select
    a.name as artist,
    a.genre,
    count(*) as plays,
    count(distinct p.song) as songs,
    round(sum(p.seconds) / 60, 1) as minutes,
    max(p.played_on) as last_played_on
from {{ ref('stg_plays') }} p
join {{ ref('artists') }} a on a.artist_id = p.artist_id
where p.seconds >= {{ var('least_seconds', 30) }}
group by a.name, a.genre
order by plays desc, artist
