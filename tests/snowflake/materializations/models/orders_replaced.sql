{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='id') }}
select id, turn, what from {{ ref('orders') }}
