{#- Time: days between instants, and the retailer's own clock. Engines differ in all of it. -#}

{#- The retailer's IANA time zone; days, weekdays and months begin by it. -#}
{% macro business_timezone() %}
    {{- return(env_var('GENOME_BUSINESS_TIMEZONE', 'UTC')) -}}
{% endmacro %}

{#- Days from one instant to another, with fractions; negative when `later` is the earlier. -#}
{% macro days_between(earlier, later) %}
    {{- return(adapter.dispatch('days_between', 'customer_genome')(earlier, later)) -}}
{% endmacro %}

{% macro duckdb__days_between(earlier, later) %}
    {{- return('((epoch_us(' ~ later ~ ') - epoch_us(' ~ earlier ~ ')) / 86400000000.0::double)') -}}
{% endmacro %}

{% macro spark__days_between(earlier, later) %}
    {{- return('((unix_micros(' ~ later ~ ') - unix_micros(' ~ earlier ~ ')) / 86400000000.0D)') -}}
{% endmacro %}

{#- Whole days since 1970-01-01 UTC of an instant. -#}
{% macro epoch_day(instant) %}
    {{- return(adapter.dispatch('epoch_day', 'customer_genome')(instant)) -}}
{% endmacro %}

{% macro duckdb__epoch_day(instant) %}
    {{- return('cast(floor(epoch_us(' ~ instant ~ ') / 86400000000.0::double) as integer)') -}}
{% endmacro %}

{% macro spark__epoch_day(instant) %}
    {{- return('cast(floor(unix_micros(' ~ instant ~ ') / 86400000000.0D) as int)') -}}
{% endmacro %}

{#- Whole days since 1970-01-01 of a date. -#}
{% macro epoch_date(day) %}
    {{- return(adapter.dispatch('epoch_date', 'customer_genome')(day)) -}}
{% endmacro %}

{% macro duckdb__epoch_date(day) %}
    {{- return("cast(" ~ day ~ " - cast('1970-01-01' as date) as integer)") -}}
{% endmacro %}

{% macro spark__epoch_date(day) %}
    {{- return("datediff(" ~ day ~ ", cast('1970-01-01' as date))") -}}
{% endmacro %}

{#- What is left of evidence of 1 from `since` at `at`: 2^(−days / half-life). -#}
{% macro decay(since, at, half_life_days) %}
    {{- return('pow(2.0, -' ~ days_between(since, at) ~ ' / ' ~ half_life_days ~ ')') -}}
{% endmacro %}

{#- The date of an instant on the retailer's clock. -#}
{% macro local_date(instant) %}
    {{- return(adapter.dispatch('local_date', 'customer_genome')(instant)) -}}
{% endmacro %}

{% macro duckdb__local_date(instant) %}
    {{- return("cast(timezone('" ~ business_timezone() ~ "', " ~ instant ~ ") as date)") -}}
{% endmacro %}

{% macro spark__local_date(instant) %}
    {{- return("to_date(from_utc_timestamp(" ~ instant ~ ", '" ~ business_timezone() ~ "'))") -}}
{% endmacro %}

{#- The hour, 0 to 23, of an instant on the retailer's clock. -#}
{% macro local_hour(instant) %}
    {{- return(adapter.dispatch('local_hour', 'customer_genome')(instant)) -}}
{% endmacro %}

{% macro duckdb__local_hour(instant) %}
    {{- return("cast(hour(timezone('" ~ business_timezone() ~ "', " ~ instant ~ ")) as integer)") -}}
{% endmacro %}

{% macro spark__local_hour(instant) %}
    {{- return("hour(from_utc_timestamp(" ~ instant ~ ", '" ~ business_timezone() ~ "'))") -}}
{% endmacro %}

{#- The instant at which a date begins on the retailer's clock. -#}
{% macro local_midnight(day) %}
    {{- return(adapter.dispatch('local_midnight', 'customer_genome')(day)) -}}
{% endmacro %}

{% macro duckdb__local_midnight(day) %}
    {{- return("timezone('" ~ business_timezone() ~ "', cast(" ~ day ~ " as timestamp))") -}}
{% endmacro %}

{% macro spark__local_midnight(day) %}
    {{- return("to_utc_timestamp(cast(" ~ day ~ " as timestamp), '" ~ business_timezone() ~ "')") -}}
{% endmacro %}

{#- The day of the week of a date: 1 is Monday, 7 is Sunday. -#}
{% macro weekday(day) %}
    {{- return(adapter.dispatch('weekday', 'customer_genome')(day)) -}}
{% endmacro %}

{% macro duckdb__weekday(day) %}
    {{- return('cast(isodow(' ~ day ~ ') as integer)') -}}
{% endmacro %}

{% macro spark__weekday(day) %}
    {{- return('(weekday(' ~ day ~ ') + 1)') -}}
{% endmacro %}

{#- The date some days after another. -#}
{% macro add_days(day, count) %}
    {{- return(adapter.dispatch('add_days', 'customer_genome')(day, count)) -}}
{% endmacro %}

{% macro duckdb__add_days(day, count) %}
    {{- return('(cast(' ~ day ~ ' as date) + cast(' ~ count ~ ' as integer))') -}}
{% endmacro %}

{% macro spark__add_days(day, count) %}
    {{- return('date_add(' ~ day ~ ', ' ~ count ~ ')') -}}
{% endmacro %}

{#- An instant written as text with its offset, as a literal. -#}
{% macro instant(text) %}
    {{- return(adapter.dispatch('instant', 'customer_genome')(text)) -}}
{% endmacro %}

{% macro duckdb__instant(text) %}
    {{- return("cast('" ~ text ~ "' as timestamptz)") -}}
{% endmacro %}

{% macro spark__instant(text) %}
    {{- return("cast('" ~ text ~ "' as timestamp)") -}}
{% endmacro %}
