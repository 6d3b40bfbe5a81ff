{#
  A model's schema is the one that it names: RAW_DATA, ADHOC and ANALYTICS are shared by all targets, as the
  pipeline's users know them. dbt's default would make DEV_RAW_DATA of it.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if custom_schema_name is none -%}
        {{ target.schema }}
    {%- else -%}
        {{ custom_schema_name | trim }}
    {%- endif -%}
{%- endmacro %}
