{{ config(materialized='incremental', incremental_strategy='append') }}
select id, turn, what from {{ ref('orders') }}
