-- A number that is there, a text that is there, one that is absent.
with cases as (select '{"line": 3, "campaign_id": "27"}' as document)

select document
from cases
where
    {{ json_text('document', 'campaign_id') }} <> '27'
    or {{ json_text('document', 'coupon_upc') }} is not null
    or ({{ json_fields('document', {'line': 'integer', 'discount': 'double'}) }}).line <> 3
    or ({{ json_fields('document', {'line': 'integer', 'discount': 'double'}) }}).discount is not null
