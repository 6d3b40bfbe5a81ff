-- What did the users of the streaming service do, event by event?
select
    ts::integer as ts,
    to_timestamp(ts::integer, 3)::timestamp_ntz as event_time,
    coalesce(userid, '')::varchar as userid,
    sessionid::integer as sessionid,
    iteminsession::integer as iteminsession,
    page::varchar as page,
    auth::varchar as auth,
    method::varchar as method,
    status::integer as status,
    level::varchar as level,
    location::varchar as location,
    useragent::varchar as useragent,
    lastname::varchar as lastname,
    firstname::varchar as firstname,
    registration::integer as registration,
    gender::varchar as gender,
    artist::varchar as artist,
    song::varchar as song,
    length::float as length,
    event_date::date as event_date
from {{ source('streams', 'eventsim_music_streaming') }}
