-- Of which tracks are the genres to be looked up? Those of the global top 50 and the best known ones of its artists.
with wanted as (

    select artist, title
    from {{ ref('stg_spotify_top50') }}

    union all

    select i.artist, t.title
    from {{ ref('stg_spotify_artist_top_tracks') }} t
    join {{ ref('stg_spotify_artist_info') }} i on i.artist_id = t.artist_id

)

select distinct artist, title
from wanted
where artist is not null
    and title is not null
