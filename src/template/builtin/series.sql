{# Numbers and dates out of nothing. #}

{% macro get_powers_of_two(upper_bound) %}
  {% if upper_bound <= 0 %}
    {{ exceptions.raise_compiler_error('upper bound must be positive') }}
  {% endif %}
  {% for power in range(1, 64) %}
    {% if upper_bound <= 2 ** power %}{{ return(power) }}{% endif %}
  {% endfor %}
{% endmacro %}

{% macro generate_series(upper_bound) %}
{%- set n = get_powers_of_two(upper_bound) -%}
with p as (
    select 0 as generated_number union all select 1
),

unioned as (
    select
        {% for i in range(n) -%}
        p{{ i }}.generated_number * {{ 2 ** i }}{{ ' + ' if not loop.last }}
        {%- endfor %}
        + 1 as generated_number
    from
        {% for i in range(n) -%}
        p as p{{ i }}{{ ' cross join ' if not loop.last }}
        {%- endfor %}
)

select generated_number
from unioned
where generated_number <= {{ upper_bound }}
order by generated_number
{% endmacro %}

{% macro get_intervals_between(start_date, end_date, datepart) -%}
  {%- if not execute -%}
    {{ return(1) }}
  {%- endif -%}
  {%- set table = run_query('select ' ~ datediff(start_date, end_date, datepart)) -%}
  {{ return(table.columns[0].values()[0]) }}
{%- endmacro %}

{% macro date_spine(datepart, start_date, end_date) %}
with rawdata as (
    {{ generate_series(get_intervals_between(start_date, end_date, datepart)) }}
),

all_periods as (
    select {{ dateadd(datepart, '(row_number() over (order by 1) - 1)', start_date) }} as date_{{ datepart }}
    from rawdata
),

filtered as (
    select *
    from all_periods
    where date_{{ datepart }} <= {{ end_date }}
)

select * from filtered
{% endmacro %}
