-- Songs by plays, each with its most common tag.
with plays as (

    select * from {{ ref('stg_plays') }}

),

tagged as (

    select p.song, f.value::string as tag, count(*) as n
    from plays p, lateral flatten(input => p.tags) f
    group by 1, 2
    qualify row_number() over (partition by song order by n desc, tag) = 1

)

select
    row_number() over (order by count(*) desc, plays.song) as song_rank,
    plays.song,
    plays.artist,
    tagged.tag,
    count(*) as plays,
    max(plays.played_at)::date as last_played
from plays
join tagged on tagged.song = plays.song
group by plays.song, plays.artist, tagged.tag
