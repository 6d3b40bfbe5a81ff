-- A day of a service that was captured must be in MUSIC_CHARTS with all its rows, however late it came.
with captured as (

    {% for service in ['melon', 'genie', 'bugs', 'flo', 'vibe'] %}
    select source, "DATE", count(*) as row_count
    from {{ ref('stg_' ~ service ~ '_chart') }}
    group by source, "DATE"
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

held as (

    select source, "DATE", count(*) as row_count
    from {{ ref('music_charts') }}
    group by source, "DATE"

)

select c.source, c."DATE", c.row_count as captured, h.row_count as held
from captured c
left join held h on h.source = c.source and h."DATE" = c."DATE"
where h.row_count is null
    or h.row_count <> c.row_count
