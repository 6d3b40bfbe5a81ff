{{ config(materialized='view') }}
select a.id, upper(a.name) as name, s.width as width
from {{ ref('adults') }} a join {{ ref('widths') }} s on s.id = a.id
