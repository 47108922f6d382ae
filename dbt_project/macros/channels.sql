{#- Every staging of interactions, and the columns that only some of them bring. A row of a channel is staged by
    exactly one of them: the ledger of `genome build` reconciles what is staged with what the lake holds. -#}
{% macro staged_channels() %}
    {{- return({
        'stg_pos__lines': [
            'order_id', 'line_number', 'quantity', 'amount', 'retail_discount_amount', 'coupon_discount_amount',
            'coupon_match_amount', 'currency'
        ],
        'stg_pos__returns': ['order_id', 'line_number', 'quantity', 'amount', 'currency'],
        'stg_direct_mail__sends': ['campaign_id'],
        'stg_loyalty__redemptions': ['campaign_id', 'coupon_upc'],
        'stg_loyalty__points': [],
        'stg_crm__profiles': [],
        'stg_crm__contacts': [],
        'stg_crm__consents': [],
        'stg_web__events': ['order_id', 'line_number', 'quantity', 'amount', 'currency', 'motives'],
        'stg_app__events': ['order_id', 'line_number', 'quantity', 'amount', 'currency', 'motives'],
        'stg_email__events': ['campaign_id'],
        'stg_sms_push__events': ['campaign_id'],
        'stg_survey__answers': ['motives'],
        'stg_social__events': ['motives'],
        'stg_location__pings': [],
        'stg_service__messages': ['motives'],
    }) -}}
{% endmacro %}
