{%- do ref('int_customers_touched') -%}
{{ config(
    materialized="incremental", incremental_strategy="append",
    pre_hook="{{ forget_touched('rows of the cut-off') }}"
) }}

{#- Scalars beside the genes. Everything is an instant, a count, a sum decayed to valid_at, or a share of such sums:
    sums of one half-life shrink together, so shares hold between events. -#}
{%- set weekdays = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] -%}
{%- set dayparts = {'morning': (5, 11), 'midday': (11, 15), 'afternoon': (15, 18), 'evening': (18, 22)} -%}

with spine as (
    select * from {{ ref('int_spine_numbered') }}
),

sources as (
    select
        spine.spine_number,
        spine.valid_at,
        customers.source_number
    from spine
    inner join {{ ref('dim_customers') }} as customers on spine.customer_number = customers.customer_number
),

-- An order is what was known of it by then.
known_orders as (
    select
        sources.spine_number,
        sources.source_number,
        orders.order_number,
        max(sources.valid_at) as valid_at,
        min(orders.store_id) as store_id,
        min(orders.ordered_at) as ordered_at,
        sum(orders.line_count) as line_count,
        sum(orders.amount) as amount,
        sum(orders.retail_discount_amount) as retail_discount_amount,
        sum(orders.coupon_discount_amount) as coupon_discount_amount,
        sum(orders.coupon_line_count) as coupon_line_count
    from sources
    inner join {{ ref('int_orders_summed') }} as orders
        on
            sources.source_number = orders.source_number
            and orders.available_at < sources.valid_at
    group by sources.spine_number, sources.source_number, orders.order_number
),

orders as (
    select
        *,
        {{ local_date('ordered_at') }} as ordered_date,
        {{ local_hour('ordered_at') }} as ordered_hour,
        {{ decay('ordered_at', 'valid_at', 28) }} as h28,
        {{ decay('ordered_at', 'valid_at', 180) }} as h180
    from known_orders
),

order_traits as (
    select
        spine_number,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at,
        max(case when coupon_line_count > 0 then ordered_at end) as last_coupon_order_at,
        count(*) as order_count,
        count(distinct ordered_date) as order_day_count,
        sum(h28) as orders_h28_sum,
        sum(h180) as orders_h180_sum,
        sum(line_count * h28) as lines_h28_sum,
        sum(line_count * h180) as lines_h180_sum,
        sum(amount * h28) as amount_h28_sum,
        sum(amount * h180) as amount_h180_sum,
        sum(case when coupon_line_count > 0 then h180 else 0 end) as coupon_orders_h180_sum,
        sum(coupon_line_count * h180) as coupon_lines_h180_sum,
        sum(retail_discount_amount * h180)
        / nullif(sum((amount + retail_discount_amount) * h180), 0) as retail_discount_h180_share,
        sum(coupon_discount_amount * h180)
        / nullif(sum((amount + coupon_discount_amount) * h180), 0) as coupon_discount_h180_share,
        {% for day in weekdays -%}
        sum(case when {{ weekday('ordered_date') }} = {{ loop.index }} then h180 else 0 end)
        / sum(h180) as {{ day }}_h180_share,
        {% endfor -%}
        {% for part, (first, end) in dayparts.items() -%}
        sum(case when ordered_hour >= {{ first }} and ordered_hour < {{ end }} then h180 else 0 end)
        / sum(h180) as {{ part }}_h180_share,
        {% endfor -%}
        sum(case when ordered_hour < 5 or ordered_hour >= 22 then h180 else 0 end) / sum(h180) as night_h180_share,
        count(distinct store_id) as store_count
    from orders
    group by spine_number
),

stores as (
    select
        spine_number,
        store_id,
        sum(h180) as orders_h180_sum
    from orders
    where store_id is not null
    group by spine_number, store_id
),

home_stores as (
    select
        spine_number,
        store_id as home_store_id,
        orders_h180_sum / sum(orders_h180_sum) over (partition by spine_number) as home_store_h180_share
    from stores
    qualify row_number() over (partition by spine_number order by orders_h180_sum desc, store_id asc) = 1
),

order_days as (
    select distinct
        spine_number,
        ordered_date
    from orders
),

gaps as (
    select
        spine_number,
        -- Whole days: from one midnight to the next there are 23 hours once a year.
        {{ epoch_date('ordered_date') }}
        - lag({{ epoch_date('ordered_date') }}) over (partition by spine_number order by ordered_date) as gap_days
    from order_days
),

cadence as (
    select
        spine_number,
        avg(gap_days) as order_gap_mean_days,
        stddev_samp(gap_days) as order_gap_spread_days
    from gaps
    group by spine_number
),

-- Few rows: sends, redemptions, refunds.
events as (
    select
        source_number,
        interaction_type,
        campaign_id,
        evidence_at,
        available_at,
        cast(null as double) as amount
    from {{ ref('int_campaign_events') }}
    union all
    select
        source_number,
        interaction_type,
        cast(null as string) as campaign_id,
        evidence_at,
        available_at,
        amount
    from {{ ref('int_lines_read') }}
    where interaction_type = 'Order Refunded'
),

others as (
    select
        sources.spine_number,
        events.interaction_type,
        events.campaign_id,
        events.evidence_at,
        events.amount,
        {{ decay('events.evidence_at', 'sources.valid_at', 180) }} as h180
    from sources
    inner join events
        on
            sources.source_number = events.source_number
            and events.available_at < sources.valid_at
),

other_traits as (
    select
        spine_number,
        count(distinct case when interaction_type = 'Campaign Sent' then campaign_id end) as campaign_count,
        coalesce(sum(case when interaction_type = 'Campaign Sent' then h180 end), 0) as campaigns_h180_sum,
        max(case when interaction_type = 'Campaign Sent' then evidence_at end) as last_campaign_at,
        count(case when interaction_type = 'Coupon Applied' then 1 end) as redemption_count,
        count(distinct case when interaction_type = 'Coupon Applied' then campaign_id end) as redeemed_campaign_count,
        coalesce(sum(case when interaction_type = 'Coupon Applied' then h180 end), 0) as redemptions_h180_sum,
        max(case when interaction_type = 'Coupon Applied' then evidence_at end) as last_redemption_at,
        coalesce(sum(case when interaction_type = 'Order Refunded' then amount * h180 end), 0) as refunds_h180_sum
    from others
    group by spine_number
),

-- Levels that the genes already hold.
breadth as (
    select
        totals.spine_number,
        max(case when loci.locus_id = 'category' then totals.gene_count end) as category_count,
        max(case when loci.locus_id = 'product' then totals.gene_count end) as product_count,
        max(case
            when loci.locus_id = 'category' and totals.total_character > 0
                then ln(totals.total_character) - totals.total_log_character / totals.total_character
        end) as category_entropy,
        max(case
            when loci.locus_id = 'brand' and totals.total_character > 0
                then ln(totals.total_character) - totals.total_log_character / totals.total_character
        end) as brand_entropy
    from {{ ref('int_locus_totals') }} as totals
    inner join {{ ref('loci') }} as loci on totals.locus_number = loci.locus_number
    group by totals.spine_number
),

levels as (
    select
        spine.spine_number,
        sum(case
            when genes.gene_id = 'brand_type:Private'
                then greatest(states.for_character - states.against_character, 0)
            when genes.locus_id = 'brand_type' then 0
        end)
        / nullif(max(case when genes.locus_id = 'brand_type' then totals.total_character end), 0)
            as private_brand_share,
        sum(case genes.gene_id
            when 'price_tier:lower' then 0
            when 'price_tier:middle' then 0.5 * greatest(states.for_character - states.against_character, 0)
            when 'price_tier:upper' then greatest(states.for_character - states.against_character, 0)
        end)
        / nullif(max(case when genes.locus_id = 'price_tier' then totals.total_character end), 0)
            as price_tier_level
    from spine
    inner join {{ ref('int_gene_states') }} as states
        on
            spine.customer_number = states.customer_number
            and spine.spine_ordinal >= states.from_ordinal
            and (states.to_ordinal is null or spine.spine_ordinal < states.to_ordinal)
    inner join {{ ref('dim_genes') }} as genes on states.gene_hash = genes.gene_hash
    inner join {{ ref('int_locus_totals') }} as totals
        on
            spine.spine_number = totals.spine_number
            and states.locus_number = totals.locus_number
    where genes.locus_id in ('brand_type', 'price_tier')
    group by spine.spine_number
),

profiles as (
    select
        sources.spine_number,
        profiles.age_band,
        profiles.income_band,
        profiles.home_ownership,
        profiles.marital_status,
        profiles.household_size,
        profiles.household_composition,
        profiles.kids_count
    from sources
    inner join {{ ref('int_profiles_known') }} as profiles
        on
            sources.source_number = profiles.source_number
            and profiles.available_at < sources.valid_at
    qualify
        row_number() over (
            partition by sources.spine_number
            -- of several deliveries the first one stays
            order by
                profiles.occurred_at desc, profiles.interaction_id asc, profiles.received_at asc, profiles._batch_id asc
        ) = 1
)

select
    spine.customer_id,
    spine.customer_number,
    spine.valid_at,
    spine.is_cutoff,

    -- instants, to the second: the online store keeps no fractions
    date_trunc('second', order_traits.first_order_at) as first_order_at,
    date_trunc('second', order_traits.last_order_at) as last_order_at,
    date_trunc('second', order_traits.last_coupon_order_at) as last_coupon_order_at,
    date_trunc('second', other_traits.last_campaign_at) as last_campaign_at,
    date_trunc('second', other_traits.last_redemption_at) as last_redemption_at,

    -- frequency and money
    coalesce(order_traits.order_count, 0) as order_count,
    coalesce(order_traits.order_day_count, 0) as order_day_count,
    coalesce(order_traits.orders_h28_sum, 0) as orders_h28_sum,
    coalesce(order_traits.orders_h180_sum, 0) as orders_h180_sum,
    coalesce(order_traits.lines_h28_sum, 0) as lines_h28_sum,
    coalesce(order_traits.lines_h180_sum, 0) as lines_h180_sum,
    coalesce(order_traits.amount_h28_sum, 0) as amount_h28_sum,
    coalesce(order_traits.amount_h180_sum, 0) as amount_h180_sum,
    coalesce(other_traits.refunds_h180_sum, 0) as refunds_h180_sum,
    cadence.order_gap_mean_days,
    cadence.order_gap_spread_days,

    -- discounts and campaigns
    coalesce(order_traits.coupon_orders_h180_sum, 0) as coupon_orders_h180_sum,
    coalesce(order_traits.coupon_lines_h180_sum, 0) as coupon_lines_h180_sum,
    order_traits.retail_discount_h180_share,
    order_traits.coupon_discount_h180_share,
    coalesce(other_traits.campaign_count, 0) as campaign_count,
    coalesce(other_traits.campaigns_h180_sum, 0) as campaigns_h180_sum,
    coalesce(other_traits.redemption_count, 0) as redemption_count,
    coalesce(other_traits.redeemed_campaign_count, 0) as redeemed_campaign_count,
    coalesce(other_traits.redemptions_h180_sum, 0) as redemptions_h180_sum,

    -- time of week and day
    {% for name in weekdays + dayparts.keys() | list + ['night'] -%}
    order_traits.{{ name }}_h180_share,
    {% endfor %}
    -- places
    coalesce(order_traits.store_count, 0) as store_count,
    home_stores.home_store_id,
    home_stores.home_store_h180_share,

    -- breadth and levels
    coalesce(breadth.category_count, 0) as category_count,
    coalesce(breadth.product_count, 0) as product_count,
    breadth.category_entropy,
    breadth.brand_entropy,
    levels.private_brand_share,
    levels.price_tier_level,

    -- demographics
    profiles.age_band,
    profiles.income_band,
    profiles.home_ownership,
    profiles.marital_status,
    profiles.household_size,
    profiles.household_composition,
    profiles.kids_count,
    cast({{ build_said('build_number') }} as integer) as _build_number
from spine
left join order_traits on spine.spine_number = order_traits.spine_number
left join cadence on spine.spine_number = cadence.spine_number
left join home_stores on spine.spine_number = home_stores.spine_number
left join other_traits on spine.spine_number = other_traits.spine_number
left join breadth on spine.spine_number = breadth.spine_number
left join levels on spine.spine_number = levels.spine_number
left join profiles on spine.spine_number = profiles.spine_number
