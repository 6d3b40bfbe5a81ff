-- Where did a song stand on each day, over all services?
{{ config(materialized='ephemeral') }}

with charts as (

    select
        {{ song_key('title', 'artist') }} as song_key,
        title,
        artist,
        rank,
        source,
        "DATE"
    from {{ ref('music_charts') }}
    where {{ as_of('"DATE"') }}

)

select
    "DATE",
    song_key,
    min(title) as title,
    min(artist) as artist,
    min(rank) as best_rank,
    avg(rank) as avg_rank,
    count(distinct source) as services
from charts
group by "DATE", song_key
