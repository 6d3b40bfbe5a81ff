-- Who played which song, when and where?
--
-- Merged on (USERID, TS, SONG). A day is read again when the landing has another number of plays of it than this table:
-- late events arrive however late they are, and a run without new events reads nothing but counts.
{{ config(
    materialized='incremental',
    incremental_strategy='merge',
    unique_key=['USERID', 'TS', 'SONG'],
    merge_update_columns=['LOCATION', 'SESSIONID']
) }}

with plays as (

    select
        song,
        artist,
        location,
        sessionid,
        userid,
        ts,
        iteminsession,
        event_time::date as play_date
    from {{ ref('stg_eventsim_events') }}
    where nullif(song, '') is not null
        and nullif(artist, '') is not null
        and coalesce(page, '') <> 'Home'

),

{% if is_incremental() %}
landed as (

    select play_date, count(*) as plays
    from plays
    group by play_date

),

held as (

    select to_timestamp(ts, 3)::date as play_date, count(*) as plays
    from {{ this }}
    group by to_timestamp(ts, 3)::date

),

days_to_load as (

    select l.play_date
    from landed l
    left join held h on h.play_date = l.play_date
    where h.plays is null
        or h.plays <> l.plays

),

plays_to_load as (

    select p.*
    from plays p
    join days_to_load d on d.play_date = p.play_date

)
{% else %}
plays_to_load as (

    select * from plays

)
{% endif %}

-- an event that was delivered twice is one play; a merge must not meet two rows of one key
select song, artist, location, sessionid, userid, ts
from plays_to_load
qualify row_number() over (
    partition by userid, ts, song
    order by sessionid desc, iteminsession desc, location
) = 1
