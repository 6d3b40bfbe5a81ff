{# Dates while a template is rendered, after Python's datetime (dbt's `convert_datetime`, `dates_in_range`, `partition_range`). #}

{% macro convert_datetime(date_str, date_fmt) %}
    {% set message = "the date '" ~ date_str ~ "' does not match the format '" ~ date_fmt ~ "'" %}
    {{ return(try_or_compiler_error(message, modules.datetime.datetime.strptime, (date_str | string).strip(), date_fmt)) }}
{% endmacro %}

{% macro dates_in_range(start_date_str, end_date_str=none, in_fmt="%Y%m%d", out_fmt="%Y%m%d") %}
    {% set last = start_date_str if end_date_str is none else end_date_str %}
    {% set first_day, last_day = convert_datetime(start_date_str, in_fmt), convert_datetime(last, in_fmt) %}
    {% set days = (last_day - first_day).days %}
    {% if days < 0 %}
        {% do exceptions.raise_compiler_error("the first date of a range is behind its last: " ~ start_date_str ~ ", " ~ last) %}
    {% endif %}
    {% set found = [] %}
    {% for day in range(0, days + 1) %}
        {% do found.append((first_day + modules.datetime.timedelta(days=day)).strftime(out_fmt)) %}
    {% endfor %}
    {{ return(found) }}
{% endmacro %}

{% macro partition_range(raw_partition_date, date_fmt='%Y%m%d') %}
    {% set ends = (raw_partition_date | string).split(",") %}
    {% if ends | length > 2 %}
        {% do exceptions.raise_compiler_error("a range of partitions is a date, or two with a comma between them, not '" ~ raw_partition_date ~ "'") %}
    {% endif %}
    {{ return(dates_in_range(ends[0], ends[1] if ends | length == 2 else none, in_fmt=date_fmt)) }}
{% endmacro %}

{% macro py_current_timestring() %}
    {{ return(modules.datetime.datetime.now().strftime("%Y%m%d%H%M%S%f")) }}
{% endmacro %}
