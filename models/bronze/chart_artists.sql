-- Which artists of the domestic charts are to be looked up? The look-up asks only for those that it does not know yet.
with charts as (

    {% for service in ['melon', 'genie', 'bugs', 'flo', 'vibe'] %}
    select artist from {{ ref('stg_' ~ service ~ '_chart') }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select distinct artist
from charts
where nullif(trim(artist), '') is not null
