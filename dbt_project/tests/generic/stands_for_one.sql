{#- Each value belongs to one value of another column: of a hash, that nothing collides. -#}
{% test stands_for_one(model, column_name, of) %}
    select {{ column_name }}
    from {{ model }}
    group by {{ column_name }}
    having count(distinct {{ of }}) > 1
{% endtest %}
