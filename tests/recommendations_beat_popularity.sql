-- Recommendations that a list of hits would beat are not worth serving. Below 200 guesses chance decides.
with hit_rates as (

    select
        max(iff(method = 'item-to-item', hit_rate, null)) as item_to_item,
        max(iff(method = 'popularity', hit_rate, null)) as popularity,
        max(sessions) as sessions
    from {{ ref('recommendation_hit_rate') }}

)

select *
from hit_rates
where sessions >= 200
    and (item_to_item <= popularity or item_to_item is null)
