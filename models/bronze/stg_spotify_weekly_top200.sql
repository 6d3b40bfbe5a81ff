-- Which 200 songs were streamed most on Spotify in each week, by country?
with landed as (

    select * from {{ source('charts', 'spotify_weekly_top200') }}

),

typed as (

    select
        rank::integer as rank,
        uri::varchar as uri,
        track_id::varchar as track_id,
        track_name::varchar as title,
        artist_names::varchar as artist_names,
        artists,
        label::varchar as label,
        peak_rank::integer as peak_rank,
        nullif(previous_rank::integer, -1) as previous_rank,
        weeks_on_chart::integer as weeks_on_chart,
        streams::integer as streams,
        lower(country)::varchar as country,
        week::date as week
    from landed

)

-- a file that was dropped twice counts once
select *
from typed
qualify row_number() over (partition by country, week, rank order by streams desc, uri) = 1
