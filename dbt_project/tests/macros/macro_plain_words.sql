-- Words in lower case between single blanks; a negation is put to the word that it denies.
with cases as (
    select 'Gluten-Free/ORGANIC  bread!' as value, ' gluten free organic bread ' as expected
    union all
    select 'It isn''t really ORGANIC', ' it not_organic '
    union all
    select 'not the very best, no', ' not_best not_'
    union all
    select 'Süße Äpfel – 2 kg', ' süße äpfel 2 kg '
    union all
    select 'I don’t', ' i not_'
    union all
    select '', ' '
),

judged as (
    select
        expected,
        {{ plain_words('value') }} as found
    from cases
)

select *
from judged
where found is distinct from expected
