{% snapshot history %}
{{ config(unique_key='id', strategy='check', check_cols=['city'], target_schema='DEV') }}
select id, iff(id = 1, city || '{{ var("turn", 1) }}', city) as city from {{ ref('people') }}
{% endsnapshot %}
