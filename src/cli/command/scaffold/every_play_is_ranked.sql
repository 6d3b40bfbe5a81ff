-- Plays in the mart that do not add up to the plays that came in.
select total, ranked
from (select count(*) as total from {{ ref('stg_plays') }}) as came_in
cross join (select sum(plays) as ranked from {{ ref('top_songs') }}) as went_out
where total <> ranked
