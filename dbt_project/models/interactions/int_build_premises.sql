{#- What a build that continues the one before relies on. A row is a reason to begin anew instead: `genome build` does
    it by itself. -#}
{%- set notice = var('price_tier_notice_days') -%}
{%- set popularity = before('int_offer_popularity') -%}
{%- set evidence = before('int_evidence_weighed') -%}
{%- set genes_now, genes_then = ref('int_product_genes_unioned'), ref('int_product_genes_before') -%}
{%- set offers_now, products_now = ref('dim_offers'), ref('int_offer_products') -%}
{%- set offers_then, sales = ref('int_offers_before'), ref('int_product_sales') -%}

with clock as (
    select
        since,
        {{ local_date('since') }} as since_date
    from {{ ref('stg_build__clock') }}
),

landed as (
    select *
    from {{ ref('fct_interactions') }}
    where _build_number = {{ build_said('build_number') }}
),

-- Prices of months that have begun, and the population that a month compares with, stand.
known_before as (
    select 'interactions that say they were known in a month that is closed' as reason
    from landed
    cross join clock
    where
        cast(date_trunc('month', {{ add_days(local_date('landed.available_at'), notice) }}) as date)
        < cast(date_trunc('month', {{ add_days('clock.since_date', notice) }}) as date)
        or cast(date_trunc('month', {{ local_date('landed.available_at') }}) as date)
        < cast(date_trunc('month', clock.since_date) as date)
),

-- Of several deliveries the first one stays; one that says it came before the one that is kept would replace it.
-- A late line that comes before others in its order moves an old refund off them.
gone_from_before as (
    select 'evidence of a month that is closed goes: a late line moves an old refund' as reason
    from {{ ref('int_evidence_gone') }} as gone
    cross join clock
    where
        cast(date_trunc('month', {{ local_date('gone.available_at') }}) as date)
        < cast(date_trunc('month', clock.since_date) as date)
),

in_turn as (
    select
        {{ landed_since() }} as is_new,
        row_number() over (partition by interaction_id order by received_at, _batch_id) as place,
        count(case when not ({{ landed_since() }}) then 1 end) over (partition by interaction_id) as earlier_count
    from {{ ref('int_interaction_deliveries') }}
),

came_before as (
    select 'a delivery that was received before the one that is kept' as reason
    from in_turn
    where
        is_new
        and place = 1
        and earlier_count > 0
),

{% if evidence is not none -%}
-- Product DNA up to then, as it is told now and as it was told then: evidence of the past has been weighed by it.
{% for name, genes in [('dna_now', genes_now), ('dna_then', genes_then)] -%}
{{ name }} as (
    select
        genes.product_id,
        genes.gene_hash,
        genes.weight,
        genes.valid_from,
        coalesce(least(genes.valid_to, clock.since), clock.since) as valid_to
    from {{ genes }} as genes
    cross join clock
    where genes.valid_from < clock.since
),

{% endfor -%}
dna_changed as (
    (
        select * from dna_now
        except
        select * from dna_then
    )
    union
    (
        select * from dna_then
        except
        select * from dna_now
    )
),

weighed_otherwise as (
    select 'the DNA of a product is told otherwise for a time of which there is evidence' as reason
    from {{ evidence }} as evidence
    inner join dna_changed
        on
            evidence.product_id = dna_changed.product_id
            and evidence.evidence_at >= dna_changed.valid_from
            and evidence.evidence_at < dna_changed.valid_to
    where evidence._build_number < {{ build_said('build_number') }}
    union all
    -- Relations between products are those of when the month began.
    select 'the DNA of a product that is sold is told otherwise for when the month began' as reason
    from dna_changed
    inner join {{ sales }} as sales on dna_changed.product_id = sales.product_id
    cross join clock
    where
        dna_changed.valid_from <= {{ local_midnight("date_trunc('month', clock.since_date)") }}
        and dna_changed.valid_to > {{ local_midnight("date_trunc('month', clock.since_date)") }}
        and sales.build_number < {{ build_said('build_number') }}
),

-- Outcomes of campaigns that have ended stand.
offers_now as (
    select
        offers.offer_id,
        offers.campaign_id,
        offers.starts_at,
        offers.ends_at,
        products.product_id
    from {{ offers_now }} as offers
    inner join {{ products_now }} as products on offers.offer_id = products.offer_id
    cross join clock
    where offers.ends_at <= clock.since
),

offers_then as (
    select offers.*
    from {{ offers_then }} as offers
    cross join clock
    where offers.ends_at <= clock.since
),

offered_otherwise as (
    select 'an offer of a campaign that has ended is told otherwise' as reason
    from (
        (
            select * from offers_now
            except
            select * from offers_then
        )
        union
        (
            select * from offers_then
            except
            select * from offers_now
        )
    ) as changed
),

{% endif -%}
{% if popularity is not none -%}
-- What was popular when an offer could be chosen has been counted.
counted as (
    select max(label_at) as label_at from {{ popularity }}
),

known_before_a_label as (
    select 'interactions that say they were known before a label time whose campaign has ended' as reason
    from landed
    inner join counted on landed.available_at < counted.label_at
),

{% endif -%}
reasons as (
    select reason from known_before
    union
    select reason from gone_from_before
    union
    select reason from came_before
    {% if evidence is not none -%}
    union
    select reason from weighed_otherwise
    union
    select reason from offered_otherwise
    {% endif -%}
    {% if popularity is not none -%}
    union
    select reason from known_before_a_label
    {%- endif %}
)

select reason
from reasons
where {{ 'true' if continues() else 'false' }}
