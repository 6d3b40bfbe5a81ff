{# The column runs 1, 2, 3... without holes and without ties in every group of `group_by`. #}
{% test consecutive_ranks(model, column_name, group_by=[]) %}

with ranked as (

    select
        {% for column in group_by %}{{ column }}, {% endfor %}
        {{ column_name }} as actual,
        row_number() over (
            {% if group_by %}partition by {{ group_by | join(', ') }}{% endif %}
            order by {{ column_name }}
        ) as expected
    from {{ model }}

)

select *
from ranked
where actual is null
    or actual <> expected

{% endtest %}
