-- A chart much shorter than usual is most often a page that did not load to its end.
{{ config(severity='warn') }}

with captured as (

    select source, "DATE", count(*) as row_count
    from {{ ref('music_charts') }}
    group by source, "DATE"

)

select c.source, c."DATE", c.row_count, s.chart_size
from captured c
join {{ ref('chart_services') }} s on s.source = c.source
where c.row_count < 0.9 * s.chart_size
