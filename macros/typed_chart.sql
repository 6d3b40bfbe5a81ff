{#
  The typed rows of a landed chart, one capture a day. A day that was captured twice counts with its later capture as
  a whole: a list that has become shorter must not keep the tail of the earlier one. Services write 0 for a place that
  a song has never held; here that is null.
#}
{% macro typed_chart(landed) %}
with landed as (

    select * from {{ landed }}

),

typed as (

    select
        rank::integer as rank,
        title::varchar as title,
        artist::varchar as artist,
        artists,
        nullif(last_pos::integer, 0) as last_pos,
        nullif(peak_pos::integer, 0) as peak_pos,
        is_new::boolean as is_new,
        image::varchar as image,
        lower(source)::varchar as source,
        chart_time::timestamp_ntz as chart_time,
        "DATE"::date as "DATE"
    from landed

)

select *
from typed
qualify rank() over (partition by "DATE" order by chart_time desc nulls last) = 1
    and row_number() over (partition by "DATE", rank order by chart_time desc nulls last, title) = 1
{% endmacro %}
