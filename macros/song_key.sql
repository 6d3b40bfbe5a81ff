{#
  Services spell one song in many ways: `TOO BAD (feat. Anderson .Paak)` and `TOO BAD (Feat. Anderson .Paak)`,
  `IVE (아이브)` and `IVE(아이브)`, `로제 (ROSÉ) & Bruno Mars` and `로제 (ROSÉ)`. These keys make them meet: lower case,
  without guests, producers and second spellings, first artist only.
#}
{% macro title_key(title) -%}
    trim(regexp_replace(lower({{ title }}), ' *[(](feat|prod|with)[^)]*[)]', ''))
{%- endmacro %}

{% macro artist_key(artist) -%}
    coalesce(
        nullif(trim(split_part(split_part(regexp_replace(lower({{ artist }}), ' *[(][^)]*[)]', ''), ',', 1), ' & ', 1)), ''),
        lower({{ artist }})
    )
{%- endmacro %}

{% macro song_key(title, artist) -%}
    {{ title_key(title) }} || ' | ' || {{ artist_key(artist) }}
{%- endmacro %}
