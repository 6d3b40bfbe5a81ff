{# Incremental models, and queries while rendering. #}

{% macro should_full_refresh() %}
  {% set configured = config.get('full_refresh') %}
  {{ return(flags.FULL_REFRESH if configured is none else configured) }}
{% endmacro %}

{% macro is_incremental() %}
  {% if not execute %}
    {{ return(false) }}
  {% endif %}
  {% set relation = load_relation(this) %}
  {{ return(
    relation is not none
    and relation.type == 'table'
    and model.config.materialized in ['incremental', 'microbatch']
    and not should_full_refresh()
  ) }}
{% endmacro %}

{% macro load_relation(relation) %}
  {{ return(adapter.get_relation(database=relation.database, schema=relation.schema, identifier=relation.identifier)) }}
{% endmacro %}

{% macro load_cached_relation(relation) %}
  {{ return(load_relation(relation)) }}
{% endmacro %}

{% macro get_columns_in_relation(relation) %}
  {{ return(adapter.get_columns_in_relation(relation)) }}
{% endmacro %}

{% macro statement(name=none, fetch_result=false, auto_begin=true, language='sql') %}
  {%- if execute -%}
    {%- set response, table = adapter.execute(caller(), auto_begin=auto_begin, fetch=fetch_result) -%}
    {%- if name is not none -%}
      {%- do store_result(name, response=response, agate_table=table) -%}
    {%- endif -%}
  {%- endif -%}
{% endmacro %}

{% macro run_query(sql) %}
  {% call statement('run_query_statement', fetch_result=true, auto_begin=false) %}{{ sql }}{% endcall %}
  {% set result = load_result('run_query_statement') %}
  {{ return(result.table if result is not none else none) }}
{% endmacro %}

{% macro noop_statement(name=none, message=none, code=none, rows_affected=none, res=none) %}
  {%- do store_raw_result(name, message=message) -%}
{% endmacro %}

{# What a generic test reads: the relation, or the part of it that its `where` names. #}
{% macro get_where_subquery(relation) -%}
  {{ return(adapter.dispatch('get_where_subquery', 'dbt')(relation)) }}
{%- endmacro %}

{% macro default__get_where_subquery(relation) -%}
  {% set where = config.get('where') %}
  {% if where %}
    {{ return('(select * from ' ~ relation ~ ' where ' ~ where ~ ') dbt_subquery') }}
  {% endif %}
  {{ return(relation) }}
{%- endmacro %}
