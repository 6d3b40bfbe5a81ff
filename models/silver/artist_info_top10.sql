-- Which are the best known tracks of the artists of the global top 50, and of which genres are they?
with artist_info as (

    select artist_id, artist, genres as artist_genre
    from {{ ref('stg_spotify_artist_info') }}

),

-- a track of two artists is listed with both; it counts once
top_tracks as (

    select artist_id, album, song_id, title
    from {{ ref('stg_spotify_artist_top_tracks') }}
    qualify row_number() over (partition by song_id order by artist_id) = 1

),

today as (

    select max("DATE") as date_time
    from {{ ref('stg_spotify_top50') }}
    where {{ as_of('"DATE"') }}

),

joined as (

    select
        coalesce(i.artist_id, t.artist_id) as artist_id,
        i.artist,
        i.artist_genre,
        t.album,
        t.song_id,
        t.title
    from artist_info i
    full outer join top_tracks t on t.artist_id = i.artist_id

),

song_tags as (

    select artist, title, tags
    from {{ ref('stg_lastfm_track_tags') }}

)

select
    j.artist_id,
    j.artist,
    coalesce(j.artist_genre, array_construct()) as artist_genre,
    j.album,
    j.song_id,
    j.title,
    d.date_time,
    coalesce(s.tags, array_construct()) as song_genre
from joined j
cross join today d
left join song_tags s on s.artist = j.artist and s.title = j.title
-- without a chart there is no today, and no list of its artists
where d.date_time is not null
