{#- Values: hashes, JSON, lists and saturation, where engines differ or a formula deserves a name. -#}

{#- A text's 60-bit hash: the first 15 hexadecimal digits of its MD5, so never negative and the same on every
    engine. In Python: int(hashlib.md5(text.encode()).hexdigest()[:15], 16). -#}
{% macro hash_bigint(text) %}
    {{- return(adapter.dispatch('hash_bigint', 'customer_genome')(text)) -}}
{% endmacro %}

{% macro duckdb__hash_bigint(text) %}
    {{- return("cast('0x' || substr(md5(" ~ text ~ "), 1, 15) as bigint)") -}}
{% endmacro %}

{% macro spark__hash_bigint(text) %}
    {{- return('cast(conv(substr(md5(' ~ text ~ '), 1, 15), 16, 10) as bigint)') -}}
{% endmacro %}

{#- One field of a JSON object as text; null where it is absent or null. -#}
{% macro json_text(document, key) %}
    {{- return(adapter.dispatch('json_text', 'customer_genome')(document, key)) -}}
{% endmacro %}

{% macro duckdb__json_text(document, key) %}
    {{- return("json_extract_string(" ~ document ~ ", '$." ~ key ~ "')") -}}
{% endmacro %}

{% macro spark__json_text(document, key) %}
    {{- return("get_json_object(" ~ document ~ ", '$." ~ key ~ "')") -}}
{% endmacro %}

{#- Some fields of a JSON object as a struct, read in one pass; `fields` maps a name to `integer`, `double` or
    `varchar`. Null where a field is absent. -#}
{% macro json_fields(document, fields) %}
    {{- return(adapter.dispatch('json_fields', 'customer_genome')(document, fields)) -}}
{% endmacro %}

{% macro duckdb__json_fields(document, fields) %}
    {{- return("json_transform(" ~ document ~ ", '" ~ tojson(fields) ~ "')") -}}
{% endmacro %}

{% macro spark__json_fields(document, fields) %}
    {%- set types = {'integer': 'int', 'double': 'double', 'varchar': 'string'} -%}
    {%- set parts = [] -%}
    {%- for name, type in fields.items() -%}{%- do parts.append(name ~ ' ' ~ types[type]) -%}{%- endfor -%}
    {{- return("from_json(" ~ document ~ ", '" ~ parts | join(', ') ~ "')") -}}
{% endmacro %}

{#- A text as a value of a type; null where it is none. Events that came live may say anything in a property that
    no contract names, and one of them must not stop the build. -#}
{% macro value_or_null(value, type) %}
    {{- return(adapter.dispatch('value_or_null', 'customer_genome')(value, type)) -}}
{% endmacro %}

{% macro duckdb__value_or_null(value, type) %}
    {{- return('try_cast(' ~ value ~ ' as ' ~ type ~ ')') -}}
{% endmacro %}

{% macro spark__value_or_null(value, type) %}
    {{- return('try_cast(' ~ value ~ ' as ' ~ type ~ ')') -}}
{% endmacro %}

{#- An aggregate: one list of rows, sorted by the first of the columns, then by the second, and so on. Lists taken from
    it by `list_field` are aligned because they come from one list. -#}
{% macro sorted_rows(columns) %}
    {{- return(adapter.dispatch('sorted_rows', 'customer_genome')(columns)) -}}
{% endmacro %}

{% macro duckdb__sorted_rows(columns) %}
    {%- set fields = [] -%}
    {%- for column in columns -%}{%- do fields.append(column ~ ' := ' ~ column) -%}{%- endfor -%}
    {#- Twice as fast as an ordered aggregate. -#}
    {{- return('list_sort(list(struct_pack(' ~ fields | join(', ') ~ ')))') -}}
{% endmacro %}

{% macro spark__sorted_rows(columns) %}
    {{- return('array_sort(collect_list(struct(' ~ columns | join(', ') ~ ')))') -}}
{% endmacro %}

{#- One field of each row of a list made by `sorted_rows`; an empty list where there is no list. -#}
{% macro list_field(rows, field, type) %}
    {{- return(adapter.dispatch('list_field', 'customer_genome')(rows, field, type)) -}}
{% endmacro %}

{% macro duckdb__list_field(rows, field, type) %}
    {{- return(
        'cast(coalesce(list_transform(' ~ rows ~ ', lambda r : r.' ~ field ~ '), []) as ' ~ type ~ '[])'
    ) -}}
{% endmacro %}

{% macro spark__list_field(rows, field, type) %}
    {{- return(
        'cast(coalesce(transform(' ~ rows ~ ', r -> r.' ~ field ~ '), array()) as array<' ~ type ~ '>)'
    ) -}}
{% endmacro %}

{#- How much of an interaction's weight its quantity earns: q / (q + k). Without a quantity (a view, a click) it
    earns all of it; a quantity of 0 or less earns nothing. -#}
{% macro saturation(quantity, k) %}
    {{- return(
        '(case when ' ~ quantity ~ ' is null then 1.0 when ' ~ quantity ~ ' <= 0 then 0.0 else '
        ~ quantity ~ ' / (' ~ quantity ~ ' + ' ~ k ~ ') end)'
    ) -}}
{% endmacro %}

{#- The third of its group in which a row lies: 1, 2 or 3; equal values share it, groups that are too small to
    say have none. -#}
{% macro third(partition_by, order_by) %}
    {{- return(
        'case when count(*) over (partition by ' ~ partition_by ~ ') < ' ~ var('tier_minimum_products')
        ~ ' then null when percent_rank() over (partition by ' ~ partition_by ~ ' order by ' ~ order_by
        ~ ') < 1.0 / 3 then 1 when percent_rank() over (partition by ' ~ partition_by ~ ' order by ' ~ order_by
        ~ ') < 2.0 / 3 then 2 else 3 end'
    ) -}}
{% endmacro %}

{#- A text as plain words: lower case, one blank before each and after the last, nothing but letters and digits. A
    negation is put to the word that it denies ("not really organic" is " not_organic "), so that the bare word is
    not found there any more. genome/vocabulary.py does the same to what people write. -#}
{% macro plain_words(text) %}
    {{- return(adapter.dispatch('plain_words', 'customer_genome')(text)) -}}
{% endmacro %}

{% macro duckdb__plain_words(text) %}
    {{- return(
        "regexp_replace(regexp_replace(' ' || replace(replace(lower(" ~ text ~ "), '\'\'', ''), '’', '') || ' ', '"
        ~ var('not_a_word') ~ "', ' ', 'g'), '" ~ var('negation') ~ "', ' not_', 'g')"
    ) -}}
{% endmacro %}

{% macro spark__plain_words(text) %}
    {{- return(
        "regexp_replace(regexp_replace(concat(' ', replace(replace(lower(" ~ text ~ "), '\\\'', ''), '’', ''), ' '), '"
        ~ var('not_a_word') ~ "', ' '), '" ~ var('negation') ~ "', ' not_')"
    ) -}}
{% endmacro %}
