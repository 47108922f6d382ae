{#- The columns together tell each row from every other: the grain, as a test. -#}
{% test unique_rows(model, columns) %}
    select
        {{ columns | join(', ') }},
        count(*) as row_count
    from {{ model }}
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}
