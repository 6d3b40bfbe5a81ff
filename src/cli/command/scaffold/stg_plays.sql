-- Plays with types: what happened, when, and the tags of the song.
select
    id as play_id,
    played_at::timestamp_ntz as played_at,
    song,
    artist,
    parse_json(tags)::array as tags
from {{ ref('raw_plays') }}
