{{ config(materialized='view') }}
select column1 as id, column2 as turn, column3 as what
from values (1, 1, 'a'), (2, 1, 'b'), (2, 2, 'bb'), (3, 2, 'c'), (3, 3, 'cc'), (4, 3, 'd')
where column2 = {{ var('turn', 1) }}
