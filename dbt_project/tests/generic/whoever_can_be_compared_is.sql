{#- Where the population had chosen among several genes of a locus before this month began, each gene of the locus is
    compared with it. Where that fails, the population table is empty or not theirs, which no mean of z-scores would say. -#}
{% test whoever_can_be_compared_is(model, months) %}
    with chosen as (
        select
            gene_hash,
            max(locus_number) as locus_number
        from {{ months }}
        where month_date < cast(date_trunc('month', {{ local_date(build_said('as_of')) }}) as date)
        group by gene_hash
        having sum(evidence_count) > 0 and sum(squares_character) > 0
    ),

    several as (
        select locus_number
        from chosen
        group by locus_number
        having count(*) > 1
    )

    select
        genes.customer_id,
        genes.gene_hash
    from {{ model }} as genes
    where
        genes.share_character is not null
        and genes.distinctiveness is null
        and genes.locus_number in (select several.locus_number from several)
{% endtest %}
