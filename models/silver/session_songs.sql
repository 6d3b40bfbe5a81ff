-- Which songs were heard in one sitting, in which order?
--
-- One row per session and distinct song, numbered, so that the self-joins of the recommendations compare integers. A
-- session that never ends would pair everything with everything: of each, the latest songs count.
with plays as (

    select userid, sessionid, song, artist, min(ts) as first_ts
    from {{ ref('eventsim_log') }}
    group by userid, sessionid, song, artist

),

numbered as (

    select
        dense_rank() over (order by userid, sessionid) as session_no,
        dense_rank() over (order by song, artist) as song_no,
        userid,
        sessionid,
        song,
        artist,
        row_number() over (partition by userid, sessionid order by first_ts, song, artist) as position,
        row_number() over (partition by userid, sessionid order by first_ts desc, song desc, artist desc) as position_from_end
    from plays

)

select session_no, song_no, userid, sessionid, song, artist, position, position_from_end
from numbered
where position_from_end <= {{ var('recommendation_session_songs') }}
