with products as (
    select * from {{ ref('int_offer_products_weighed') }}
),

expressed as (
    select
        products.offer_id,
        products.valid_at,
        genes.locus_number,
        max(genes.locus_id) as locus_id,
        genes.gene_hash,
        sum(genes.weight) as weight,
        -- A product that nobody bought still counts for a thousandth of a line.
        sum(genes.weight * (products.lines_h180_sum + 0.001)) as sales_weight
    from products
    inner join {{ ref('int_product_genes_unioned') }} as genes
        on
            products.product_id = genes.product_id
            and products.valid_at >= genes.valid_from
            and (genes.valid_to is null or products.valid_at < genes.valid_to)
    group by products.offer_id, products.valid_at, genes.locus_number, genes.gene_hash
),

sizes as (
    select
        offer_id,
        valid_at,
        count(*) as weight,
        sum(lines_h180_sum + 0.001) as sales_weight
    from products
    group by offer_id, valid_at
),

-- A gene's part of its locus. Of claims it is the part of all products: one organic product among a hundred makes no
-- organic offer.
genes as (
    select
        expressed.offer_id,
        expressed.valid_at,
        expressed.gene_hash,
        expressed.weight / case
            when expressed.locus_id = 'claim' then sizes.weight
            else sum(expressed.weight) over in_locus
        end as gene_weight,
        expressed.sales_weight / case
            when expressed.locus_id = 'claim' then sizes.sales_weight
            else sum(expressed.sales_weight) over in_locus
        end as gene_sales_weight
    from expressed
    inner join sizes
        on
            expressed.offer_id = sizes.offer_id
            and expressed.valid_at = sizes.valid_at
    window in_locus as (partition by expressed.offer_id, expressed.valid_at, expressed.locus_number)
),

vectors as (
    select
        offer_id,
        valid_at,
        {{ sorted_rows(['gene_hash', 'gene_weight', 'gene_sales_weight']) }} as gene_rows
    from genes
    group by offer_id, valid_at
),

popularity as (
    select
        offer_id,
        valid_at,
        sum(lines_h28_sum) as popularity_h28_sum,
        sum(lines_h180_sum) as popularity_h180_sum
    from products
    group by offer_id, valid_at
),

-- The same coupon in earlier campaigns: whom it reached, and who used it.
redemptions as (
    select
        moments.offer_id,
        moments.valid_at,
        count(*) as redemption_count
    from {{ ref('int_offer_moments') }} as moments
    inner join {{ ref('dim_offers') }} as offers on moments.offer_id = offers.offer_id
    inner join {{ ref('int_campaign_events') }} as events
        on
            offers.coupon_upc = events.coupon_upc
            and events.available_at < moments.valid_at
    where events.interaction_type = 'Coupon Applied'
    group by moments.offer_id, moments.valid_at
),

campaign_moments as (
    select distinct
        moments.valid_at,
        offers.coupon_upc,
        earlier.campaign_id
    from {{ ref('int_offer_moments') }} as moments
    inner join {{ ref('dim_offers') }} as offers on moments.offer_id = offers.offer_id
    inner join {{ ref('dim_offers') }} as earlier on offers.coupon_upc = earlier.coupon_upc
),

sends as (
    select
        campaign_moments.valid_at,
        campaign_moments.coupon_upc,
        count(*) as send_count
    from campaign_moments
    inner join {{ ref('fct_campaign_sends') }} as sends
        on
            campaign_moments.campaign_id = sends.campaign_id
            and sends.available_at < campaign_moments.valid_at
    group by campaign_moments.valid_at, campaign_moments.coupon_upc
)

select
    moments.offer_id,
    moments.valid_at,
    moments.valid_at as known_at,
    offers.label,
    offers.kind,
    offers.campaign_id,
    offers.campaign_type,
    offers.coupon_upc,
    offers.starts_at,
    offers.ends_at,
    offers.product_count,
    {{ list_field('vectors.gene_rows', 'gene_hash', 'bigint') }} as gene_hashes,
    {{ list_field('vectors.gene_rows', 'gene_weight', 'float') }} as gene_weights,
    {{ list_field('vectors.gene_rows', 'gene_sales_weight', 'float') }} as gene_sales_weights,
    coalesce(popularity.popularity_h28_sum, 0) as popularity_h28_sum,
    coalesce(popularity.popularity_h180_sum, 0) as popularity_h180_sum,
    coalesce(redemptions.redemption_count, 0) as redemption_count,
    coalesce(sends.send_count, 0) as send_count
from {{ ref('int_offer_moments') }} as moments
inner join {{ ref('dim_offers') }} as offers on moments.offer_id = offers.offer_id
left join vectors
    on
        moments.offer_id = vectors.offer_id
        and moments.valid_at = vectors.valid_at
left join popularity
    on
        moments.offer_id = popularity.offer_id
        and moments.valid_at = popularity.valid_at
left join redemptions
    on
        moments.offer_id = redemptions.offer_id
        and moments.valid_at = redemptions.valid_at
left join sends
    on
        offers.coupon_upc = sends.coupon_upc
        and moments.valid_at = sends.valid_at
