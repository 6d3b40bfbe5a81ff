-- Every play that was landed must be in EVENTSIM_LOG, however late it came.
with landed as (

    select distinct userid, ts, song
    from {{ ref('stg_eventsim_events') }}
    where nullif(song, '') is not null
        and nullif(artist, '') is not null
        and coalesce(page, '') <> 'Home'

)

select p.userid, p.ts, p.song
from landed p
left join {{ ref('eventsim_log') }} l on l.userid = p.userid and l.ts = p.ts and l.song = p.song
where l.ts is null
