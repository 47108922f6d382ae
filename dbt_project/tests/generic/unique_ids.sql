{#- Each id stands in one row. Only ids that share a hash are compared as texts, so that a hundred million of them are
    counted as numbers. -#}
{% test unique_ids(model, column_name, hash) %}
    select {{ column_name }}
    from {{ model }}
    where {{ hash }} in (
        select {{ hash }}
        from {{ model }}
        group by {{ hash }}
        having count(*) > 1
    )
    group by {{ column_name }}
    having count(*) > 1
{% endtest %}
