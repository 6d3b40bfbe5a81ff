-- What did each domestic chart service rank, day by day, with the artist's genres?
--
-- The key is (SOURCE, "DATE", RANK), but what is replaced is the day of a source as a whole: a merge on the key would
-- keep ranks 101 to 200 of a day that was captured again with 100. A day is loaded when it is not held yet, when it
-- is held with another number of rows, or when it is recent, so that late and corrected days arrive however old they are.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['SOURCE', 'DATE'],
    on_schema_change='append_new_columns'
) }}

with charts as (

    {% for service in ['melon', 'genie', 'bugs', 'flo', 'vibe'] %}
    select rank, title, artist, last_pos, image, peak_pos, is_new, source, "DATE"
    from {{ ref('stg_' ~ service ~ '_chart') }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

artist_genres as (

    select search_name as artist, genres
    from {{ ref('stg_spotify_artists') }}

),

{% if is_incremental() %}
captured as (

    select source, "DATE", count(*) as row_count
    from charts
    group by source, "DATE"

),

held as (

    select source, "DATE", count(*) as row_count
    from {{ this }}
    group by source, "DATE"

),

newest as (

    select max("DATE") as newest_date from captured

),

days_to_load as (

    select c.source, c."DATE"
    from captured c
    cross join newest n
    left join held h on h.source = c.source and h."DATE" = c."DATE"
    where h.row_count is null
        or h.row_count <> c.row_count
        or c."DATE" > dateadd(day, -{{ var('charts_lookback_days') }}, n.newest_date)

),

rows_to_load as (

    select c.*
    from charts c
    join days_to_load d on d.source = c.source and d."DATE" = c."DATE"

)
{% else %}
rows_to_load as (

    select * from charts

)
{% endif %}

select
    r.rank,
    r.title,
    r.artist,
    iff(array_size(g.genres) > 0, g.genres, array_construct('Unknown')) as genre,
    r.last_pos as lastpos,
    r.image,
    r.peak_pos as peakpos,
    r.is_new as isnew,
    r.source,
    r."DATE"
from rows_to_load r
left join artist_genres g on g.artist = r.artist
