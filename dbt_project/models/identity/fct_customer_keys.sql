with linked as (
    select
        source_key,
        customer_id,
        valid_from,
        valid_to,
        known_at,
        known_to
    from {{ lake('identity_keys') }}
),

linked_keys as (
    select distinct source_key
    from linked
),

alone as (
    select
        customers.source_key,
        customers.source_key as customer_id,
        customers.valid_from,
        nullif(customers.known_at, customers.known_at) as valid_to,
        customers.known_at,
        nullif(customers.known_at, customers.known_at) as known_to
    from {{ ref('dim_customers') }} as customers
    left join linked_keys on customers.source_key = linked_keys.source_key
    where linked_keys.source_key is null
)

select * from linked
union all
select * from alone
