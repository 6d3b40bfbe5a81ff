{{ config(materialized='table') }}
select id, name, city from {{ ref('people') }} where age >= 18
