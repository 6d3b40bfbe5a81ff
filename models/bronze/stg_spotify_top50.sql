-- Which songs were Spotify's global top 50 on each day, and by which artists?
with landed as (

    select * from {{ source('charts', 'spotify_top50') }}

),

typed as (

    select
        rank::integer as rank,
        title::varchar as title,
        artist::varchar as artist,
        artists,
        track_id::varchar as track_id,
        artist_ids,
        lower(source)::varchar as source,
        chart_time::timestamp_ntz as chart_time,
        "DATE"::date as "DATE"
    from landed

)

-- the later capture of a day, as in typed_chart
select *
from typed
qualify rank() over (partition by "DATE" order by chart_time desc nulls last) = 1
    and row_number() over (partition by "DATE", rank order by chart_time desc nulls last, title) = 1
