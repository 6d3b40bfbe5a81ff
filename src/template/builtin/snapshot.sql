{# Snapshots: what a strategy says of a row, and the queries that the snapshot's table is made and merged from.
   Projects override a strategy by `snapshot_<name>_strategy`, the time by `snapshot_get_time`, the hash by `snapshot_hash_arguments`. #}

{% macro get_snapshot_table_column_names() -%}
  {% set names = {'dbt_valid_to': 'dbt_valid_to', 'dbt_valid_from': 'dbt_valid_from', 'dbt_scd_id': 'dbt_scd_id',
                  'dbt_updated_at': 'dbt_updated_at', 'dbt_is_deleted': 'dbt_is_deleted'} %}
  {% do names.update(config.get('snapshot_meta_column_names') or {}) %}
  {{ return(names) }}
{%- endmacro %}

{% macro snapshot_hash_arguments(args) -%}
  {{ return(adapter.dispatch('snapshot_hash_arguments', 'dbt')(args)) }}
{%- endmacro %}

{% macro default__snapshot_hash_arguments(args) -%}
  md5(
  {%- for arg in args -%}
    coalesce(cast({{ arg }} as varchar), ''){% if not loop.last %} || '|' || {% endif %}
  {%- endfor -%}
  )
{%- endmacro %}

{% macro snapshot_get_time() -%}
  {{ return(adapter.dispatch('snapshot_get_time', 'dbt')()) }}
{%- endmacro %}

{% macro default__snapshot_get_time() -%}
  to_timestamp_ntz('{{ modules.datetime.datetime.utcnow().strftime("%Y-%m-%d %H:%M:%S.%f") }}')
{%- endmacro %}

{% macro snapshot_string_as_time(timestamp) -%}
  {{ return(adapter.dispatch('snapshot_string_as_time', 'dbt')(timestamp)) }}
{%- endmacro %}

{% macro default__snapshot_string_as_time(timestamp) -%}
  to_timestamp_ntz('{{ timestamp }}')
{%- endmacro %}

{# What follows from the keys: one, or a list that must match in all its parts. #}
{% macro unique_key_fields(unique_key) -%}
  {%- for key in ([unique_key] if unique_key is string else unique_key) %}
    {{ key }} as dbt_unique_key{{ '' if unique_key is string else '_' ~ loop.index }}{{ ',' if not loop.last }}
  {%- endfor %}
{%- endmacro %}

{% macro unique_key_join_on(unique_key, left, right) -%}
  {%- if unique_key is string -%}
    {{ left }}.dbt_unique_key = {{ right }}.dbt_unique_key
  {%- else -%}
    {%- for key in unique_key -%}
      {{ left }}.dbt_unique_key_{{ loop.index }} = {{ right }}.dbt_unique_key_{{ loop.index }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro %}

{% macro unique_key_is_null(unique_key, table) -%}
  {{ table }}.dbt_unique_key{{ '' if unique_key is string else '_1' }} is null
{%- endmacro %}

{% macro strategy_dispatch(name) -%}
  {%- set package, plain = (name.split('.') if '.' in name else [none, name]) -%}
  {%- set wanted = 'snapshot_' ~ plain ~ '_strategy' -%}
  {%- set found = (context[package] if package else context).get(wanted) -%}
  {%- if not found -%}
    {{ exceptions.raise_compiler_error("Could not find the snapshot strategy macro '" ~ wanted ~ "'") }}
  {%- endif -%}
  {{ return(found) }}
{%- endmacro %}

{# Hard deletes, under their present and their old name. #}
{% macro get_hard_deletes(config) -%}
  {% set configured = config.get('hard_deletes') %}
  {% if configured is none %}
    {{ return('invalidate' if config.get('invalidate_hard_deletes') else 'ignore') }}
  {% endif %}
  {{ return(configured) }}
{%- endmacro %}

{% macro snapshot_timestamp_strategy(node, snapshotted_rel, current_rel, model_config, target_exists) -%}
  {% set names = get_snapshot_table_column_names() %}
  {% set unique_key = config.get('unique_key') %}
  {% set updated_at = config.get('updated_at') %}
  {% set keys = [unique_key] if unique_key is string else unique_key %}
  {{ return({
    'unique_key': unique_key,
    'updated_at': updated_at,
    'row_changed': '(' ~ snapshotted_rel ~ '.' ~ names.dbt_valid_from ~ ' < ' ~ current_rel ~ '.' ~ updated_at ~ ')',
    'scd_id': snapshot_hash_arguments(keys + [updated_at]),
    'hard_deletes': get_hard_deletes(config),
  }) }}
{%- endmacro %}

{# The columns to compare, and whether the table lacks one of them: then every row has changed. #}
{% macro snapshot_check_all_get_existing_columns(node, target_exists, check_cols_config) -%}
  {% set given = get_column_schema_from_query(source_sql) %}
  {% set wanted = [] %}
  {% if check_cols_config == 'all' %}
    {% for column in given %}{% do wanted.append(adapter.quote(column.name)) %}{% endfor %}
  {% elif check_cols_config is iterable and check_cols_config is not string and check_cols_config | length > 0 %}
    {% for column in check_cols_config %}{% do wanted.append(column) %}{% endfor %}
  {% else %}
    {% do exceptions.raise_compiler_error("Invalid value for 'check_cols': " ~ check_cols_config) %}
  {% endif %}
  {% if not target_exists %}
    {{ return((false, wanted)) }}
  {% endif %}
  {% set existing = adapter.get_columns_in_relation(this) | map(attribute='name') | map('lower') | list %}
  {% set found = [] %}
  {% for column in wanted if column.strip('"') | lower in existing %}{% do found.append(column) %}{% endfor %}
  {{ return((found | length != wanted | length, found)) }}
{%- endmacro %}

{% macro snapshot_check_strategy(node, snapshotted_rel, current_rel, model_config, target_exists) -%}
  {% set unique_key = config.get('unique_key') %}
  {% set keys = [unique_key] if unique_key is string else unique_key %}
  {% set updated_at = config.get('updated_at') or snapshot_get_time() %}
  {% set column_added, columns = snapshot_check_all_get_existing_columns(node, target_exists, config.get('check_cols')) %}
  {% set row_changed %}
  (
    {%- if column_added -%} {{ get_true_sql() }} {%- else -%}
    {%- for column in columns %}
    ({{ snapshotted_rel }}.{{ column }} is distinct from {{ current_rel }}.{{ column }}){{ ' or' if not loop.last }}
    {%- endfor -%}
    {%- endif %}
  )
  {% endset %}
  {{ return({
    'unique_key': unique_key,
    'updated_at': updated_at,
    'row_changed': row_changed,
    'scd_id': snapshot_hash_arguments(keys + [updated_at]),
    'hard_deletes': get_hard_deletes(config),
  }) }}
{%- endmacro %}

{% macro get_true_sql() -%}
  {{ return(adapter.dispatch('get_true_sql', 'dbt')()) }}
{%- endmacro %}

{% macro default__get_true_sql() -%}
  TRUE
{%- endmacro %}

{# What the end of a current row is, where it is not null. #}
{% macro snapshot_open_end() -%}
  {% set current = config.get('dbt_valid_to_current') %}
  {{ return('cast(' ~ current ~ ' as timestamp_ntz)' if current else none) }}
{%- endmacro %}

{% macro get_dbt_valid_to_current(strategy, columns) -%}
  coalesce(nullif({{ strategy.updated_at }}, {{ strategy.updated_at }}), {{ snapshot_open_end() or 'null' }}) as {{ columns.dbt_valid_to }}
{%- endmacro %}

{# The first version of the table: every row is current. #}
{% macro build_snapshot_table(strategy, sql) -%}
  {{ return(adapter.dispatch('build_snapshot_table', 'dbt')(strategy, sql)) }}
{%- endmacro %}

{% macro default__build_snapshot_table(strategy, sql) -%}
  {%- set columns = get_snapshot_table_column_names() -%}
  select *,
    {{ strategy.scd_id }} as {{ columns.dbt_scd_id }},
    {{ strategy.updated_at }} as {{ columns.dbt_updated_at }},
    {{ strategy.updated_at }} as {{ columns.dbt_valid_from }},
    {{ get_dbt_valid_to_current(strategy, columns) }}
    {%- if strategy.hard_deletes == 'new_record' %},
    'False' as {{ columns.dbt_is_deleted }}
    {%- endif %}
  from (
{{ sql }}
  ) sbq
{%- endmacro %}

{# What is to be merged: rows to insert, rows to close, rows that were deleted at the source. #}
{% macro snapshot_staging_table(strategy, source_sql, target_relation) -%}
  {{ return(adapter.dispatch('snapshot_staging_table', 'dbt')(strategy, source_sql, target_relation)) }}
{%- endmacro %}

{% macro default__snapshot_staging_table(strategy, source_sql, target_relation) -%}
{%- set columns = get_snapshot_table_column_names() -%}
{%- set now = snapshot_get_time() -%}
{%- set current = snapshot_open_end() -%}
{%- set deletes = strategy.hard_deletes in ['invalidate', 'new_record'] -%}
{%- set source_columns = get_column_schema_from_query(source_sql) | map(attribute='name') | list -%}
{%- set target_columns = adapter.get_columns_in_relation(target_relation) | map(attribute='name') | list -%}
with snapshot_query as (
{{ source_sql }}
),

snapshotted_data as (
  select *, {{ unique_key_fields(strategy.unique_key) }}
  from {{ target_relation }}
  where
  {%- if current %} ({{ columns.dbt_valid_to }} = {{ current }} or {{ columns.dbt_valid_to }} is null)
  {%- else %} {{ columns.dbt_valid_to }} is null
  {%- endif %}
),

insertions_source_data as (
  select *, {{ unique_key_fields(strategy.unique_key) }},
    {{ strategy.updated_at }} as {{ columns.dbt_updated_at }},
    {{ strategy.updated_at }} as {{ columns.dbt_valid_from }},
    {{ get_dbt_valid_to_current(strategy, columns) }},
    {{ strategy.scd_id }} as {{ columns.dbt_scd_id }}
  from snapshot_query
),

updates_source_data as (
  select *, {{ unique_key_fields(strategy.unique_key) }},
    {{ strategy.updated_at }} as {{ columns.dbt_updated_at }},
    {{ strategy.updated_at }} as {{ columns.dbt_valid_from }},
    {{ strategy.updated_at }} as {{ columns.dbt_valid_to }}
  from snapshot_query
),
{% if deletes %}
deletes_source_data as (
  select *, {{ unique_key_fields(strategy.unique_key) }}
  from snapshot_query
),
{% endif %}
insertions as (
  select 'insert' as dbt_change_type, source_data.*
    {%- if strategy.hard_deletes == 'new_record' %}, 'False' as {{ columns.dbt_is_deleted }}{% endif %}
  from insertions_source_data as source_data
  left outer join snapshotted_data on {{ unique_key_join_on(strategy.unique_key, 'snapshotted_data', 'source_data') }}
  where {{ unique_key_is_null(strategy.unique_key, 'snapshotted_data') }}
    or ({{ strategy.row_changed }}
    {%- if strategy.hard_deletes == 'new_record' %} or snapshotted_data.{{ columns.dbt_is_deleted }} = 'True'{% endif %})
),

updates as (
  select 'update' as dbt_change_type, source_data.*, snapshotted_data.{{ columns.dbt_scd_id }}
    {%- if strategy.hard_deletes == 'new_record' %}, snapshotted_data.{{ columns.dbt_is_deleted }}{% endif %}
  from updates_source_data as source_data
  join snapshotted_data on {{ unique_key_join_on(strategy.unique_key, 'snapshotted_data', 'source_data') }}
  where {{ strategy.row_changed }}
    {%- if strategy.hard_deletes == 'new_record' %} or snapshotted_data.{{ columns.dbt_is_deleted }} = 'True'{% endif %}
)
{%- if deletes %},

deletes as (
  select 'delete' as dbt_change_type, source_data.*,
    {{ now }} as {{ columns.dbt_updated_at }},
    {{ now }} as {{ columns.dbt_valid_from }},
    {{ now }} as {{ columns.dbt_valid_to }},
    snapshotted_data.{{ columns.dbt_scd_id }}
    {%- if strategy.hard_deletes == 'new_record' %}, snapshotted_data.{{ columns.dbt_is_deleted }}{% endif %}
  from snapshotted_data
  left join deletes_source_data as source_data on {{ unique_key_join_on(strategy.unique_key, 'snapshotted_data', 'source_data') }}
  where {{ unique_key_is_null(strategy.unique_key, 'source_data') }}
    {%- if strategy.hard_deletes == 'new_record' %} and not (
      snapshotted_data.{{ columns.dbt_is_deleted }} = 'True'
      and {% if current %}(snapshotted_data.{{ columns.dbt_valid_to }} = {{ current }} or snapshotted_data.{{ columns.dbt_valid_to }} is null)
      {%- else %}snapshotted_data.{{ columns.dbt_valid_to }} is null{% endif %}
    ){% endif %}
)
{%- endif %}
{%- if strategy.hard_deletes == 'new_record' %},

deletion_records as (
  select 'insert' as dbt_change_type,
    {%- for name in source_columns %}
    {% if name in target_columns %}snapshotted_data.{{ adapter.quote(name) }}{% else %}null{% endif %} as {{ adapter.quote(name) }},
    {%- endfor %}
    {%- if strategy.unique_key is string %}
    snapshotted_data.dbt_unique_key as dbt_unique_key,
    {%- else %}
    {%- for key in strategy.unique_key %}
    snapshotted_data.dbt_unique_key_{{ loop.index }} as dbt_unique_key_{{ loop.index }},
    {%- endfor %}
    {%- endif %}
    {{ now }} as {{ columns.dbt_updated_at }},
    {{ now }} as {{ columns.dbt_valid_from }},
    {% if current %}{{ current }}{% else %}cast(null as timestamp_ntz){% endif %} as {{ columns.dbt_valid_to }},
    {{ snapshot_hash_arguments([columns.dbt_scd_id, now]) }} as {{ columns.dbt_scd_id }},
    'True' as {{ columns.dbt_is_deleted }}
  from snapshotted_data
  left join deletes_source_data as source_data on {{ unique_key_join_on(strategy.unique_key, 'snapshotted_data', 'source_data') }}
  where {{ unique_key_is_null(strategy.unique_key, 'source_data') }}
    and not (
      snapshotted_data.{{ columns.dbt_is_deleted }} = 'True'
      and {% if current %}(snapshotted_data.{{ columns.dbt_valid_to }} = {{ current }} or snapshotted_data.{{ columns.dbt_valid_to }} is null)
      {%- else %}snapshotted_data.{{ columns.dbt_valid_to }} is null{% endif %}
    )
)
{%- endif %}

{% set meta = [columns.dbt_updated_at, columns.dbt_valid_from, columns.dbt_valid_to, columns.dbt_scd_id] -%}
{% if strategy.hard_deletes == 'new_record' %}{% do meta.append(columns.dbt_is_deleted) %}{% endif -%}
{% set all = [] -%}
{% for name in source_columns %}{% do all.append(adapter.quote(name)) %}{% endfor -%}
{% set list = (['dbt_change_type'] + all + meta) | join(', ') -%}
select {{ list }} from insertions
union all
select {{ list }} from updates
{%- if deletes %}
union all
select {{ list }} from deletes
{%- endif %}
{%- if strategy.hard_deletes == 'new_record' %}
union all
select {{ list }} from deletion_records
{%- endif %}
{%- endmacro %}

{% macro snapshot_merge_sql(target, source, insert_cols) -%}
  {{ return(adapter.dispatch('snapshot_merge_sql', 'dbt')(target, source, insert_cols)) }}
{%- endmacro %}

{% macro default__snapshot_merge_sql(target, source, insert_cols) -%}
{%- set columns = get_snapshot_table_column_names() -%}
{%- set current = snapshot_open_end() -%}
{%- set names = insert_cols | join(', ') -%}
merge into {{ target }} as DBT_INTERNAL_DEST
using {{ source }} as DBT_INTERNAL_SOURCE
on DBT_INTERNAL_SOURCE.{{ columns.dbt_scd_id }} = DBT_INTERNAL_DEST.{{ columns.dbt_scd_id }}
  {# a row that comes back as it was before it went is a new version, so closed versions are no match -#}
  {%- if current %}
  and (DBT_INTERNAL_DEST.{{ columns.dbt_valid_to }} = {{ current }} or DBT_INTERNAL_DEST.{{ columns.dbt_valid_to }} is null)
  {%- else %}
  and DBT_INTERNAL_DEST.{{ columns.dbt_valid_to }} is null
  {%- endif %}
when matched
  and DBT_INTERNAL_SOURCE.dbt_change_type in ('update', 'delete')
  then update set {{ columns.dbt_valid_to }} = DBT_INTERNAL_SOURCE.{{ columns.dbt_valid_to }}
when not matched
  and DBT_INTERNAL_SOURCE.dbt_change_type = 'insert'
  then insert ({{ names }})
  values ({% for name in insert_cols %}DBT_INTERNAL_SOURCE.{{ name }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro %}

{# All that a run of a snapshot needs, in one answer. #}
{% macro segue_snapshot() -%}
  {% set names = get_snapshot_table_column_names() %}
  {% set wanted = [names.dbt_scd_id, names.dbt_updated_at, names.dbt_valid_from, names.dbt_valid_to] %}
  {% set hard_deletes = get_hard_deletes(config) %}
  {% if hard_deletes == 'new_record' %}{% do wanted.append(names.dbt_is_deleted) %}{% endif %}
  {% if target_exists %}
    {% set existing = adapter.get_columns_in_relation(this) | map(attribute='name') | map('lower') | list %}
    {% set missing = [] %}
    {% for name in wanted if name | lower not in existing %}{% do missing.append(name) %}{% endfor %}
    {% if missing | length > 0 %}
      {% do exceptions.raise_compiler_error('Snapshot target is missing configured columns (missing columns: ' ~ missing | join(', ')
         ~ '). See https://docs.getdbt.com/docs/build/snapshots#snapshot-meta-fields for more information.') %}
    {% endif %}
  {% endif %}
  {% set strategy = strategy_dispatch(config.get('strategy'))(model, 'snapshotted_data', 'source_data', model['config'], target_exists) %}
  {% if target_exists %}
    {{ return({'staging': snapshot_staging_table(strategy, source_sql, this), 'columns': wanted, 'key': names.dbt_scd_id}) }}
  {% endif %}
  {{ return({'build': build_snapshot_table(strategy, source_sql)}) }}
{%- endmacro %}

{% macro segue_snapshot_merge() -%}
  {{ return(snapshot_merge_sql(this, source, insert_cols)) }}
{%- endmacro %}
