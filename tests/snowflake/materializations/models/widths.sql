{{ config(materialized='ephemeral') }}
select id, length(name) as width from {{ ref('people') }}
