-- Which service favours which genre, compared with all services together?
with by_genre as (

    select c.source, f.value::varchar as genre
    from {{ ref('music_chart_cleaned') }} c,
        lateral flatten(input => c.genre) f

),

-- a song of two genres counts for both
counted as (

    select source, genre, count(*) as songs
    from by_genre
    group by source, genre

),

shares as (

    select
        source,
        genre,
        songs,
        songs / sum(songs) over (partition by source) as share,
        sum(songs) over (partition by genre) / sum(songs) over () as overall_share
    from counted

)

select
    source,
    genre,
    songs,
    round(100 * share, 2) as share_percentage,
    round(100 * overall_share, 2) as overall_percentage,
    round(share / overall_share, 2) as preference,
    row_number() over (partition by source order by share / overall_share desc, songs desc, genre) as preference_rank
from shares
order by source, preference_rank
