-- Which artists made the songs of the global top 50, one row per song and artist?
with top50 as (

    select rank, title, artist, track_id, artist_ids, "DATE"
    from {{ ref('stg_spotify_top50') }}

),

tracks as (

    select track_id, artist_ids from {{ ref('stg_spotify_tracks') }}

),

-- the page's own ids first; the look-up knows the others
with_ids as (

    select
        c.rank,
        c.title,
        c.artist,
        c."DATE",
        iff(array_size(c.artist_ids) > 0, c.artist_ids, t.artist_ids) as artist_ids
    from top50 c
    left join tracks t on t.track_id = c.track_id

)

select distinct
    w.rank,
    w.title,
    w.artist,
    f.value::varchar as artist_id,
    w."DATE"
from with_ids w,
    lateral flatten(input => w.artist_ids) f
