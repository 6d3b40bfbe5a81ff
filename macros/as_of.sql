{#
  A condition that leaves out the days after today. Today is `--vars '{run_date: 2025-02-27}'`, else the latest day
  that the data has: a replay gives the same tables whenever it runs, which `current_date` would not.
#}
{% macro as_of(day) -%}
    {%- if var('run_date', none) -%}
        {{ day }} <= '{{ var("run_date") }}'::date
    {%- else -%}
        {{ day }} is not null
    {%- endif -%}
{%- endmacro %}
