{#- No row is a reason to begin anew. `genome build` knows this test by its name. -#}
{% test nothing_forbids_continuing(model) %}
    select *
    from {{ model }}
{% endtest %}
