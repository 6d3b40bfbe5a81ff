{{ config(materialized='incremental', unique_key='id') }}
select id, turn, what from {{ ref('orders') }}
