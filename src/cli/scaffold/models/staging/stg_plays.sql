select
    play_id,
    artist_id,
    song,
    seconds,
    played_at,
    played_at::date as played_on
from {{ source('streaming', 'plays') }}
