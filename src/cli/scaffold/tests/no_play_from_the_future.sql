-- A data test: the rows that it gives are faults.
select play_id, played_at
from {{ ref('stg_plays') }}
where played_at > current_timestamp()
