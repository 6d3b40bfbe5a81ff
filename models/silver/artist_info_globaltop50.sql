-- Who made the songs of the global top 50, one row per song and artist, and of which genres are both?
with top50_by_artist as (

    select artist_id, rank, title, artist, "DATE" as date_time
    from {{ ref('top50_songs_by_artist') }}
    where {{ as_of('"DATE"') }}

),

today as (

    select max(date_time) as date_time from top50_by_artist

),

artist_info as (

    select artist_id, artist as artist_name, genres as artist_genre
    from {{ ref('stg_spotify_artist_info') }}

),

-- artists of whom only the look-up knows belong to today, if there is a chart of today
joined as (

    select
        coalesce(c.artist_id, i.artist_id) as artist_id,
        c.rank,
        c.title,
        c.artist,
        i.artist_name,
        i.artist_genre,
        c.date_time
    from top50_by_artist c
    full outer join artist_info i on i.artist_id = c.artist_id

),

song_tags as (

    select artist, title, tags
    from {{ ref('stg_lastfm_track_tags') }}

)

select
    j.artist_id,
    j.rank,
    j.title,
    j.artist,
    j.artist_name,
    coalesce(j.artist_genre, array_construct()) as artist_genre,
    coalesce(j.date_time, d.date_time) as date_time,
    coalesce(s.tags, array_construct()) as song_genre
from joined j
cross join today d
left join song_tags s on s.artist = j.artist and s.title = j.title
where coalesce(j.date_time, d.date_time) is not null
