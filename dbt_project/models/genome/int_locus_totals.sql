{#- What shares are shares of, still on the anchor's scale: a share is a ratio of two sums of one half-life. -#}
select
    spine.spine_number,
    states.locus_number,
    sum(greatest(states.for_now - states.against_now, 0)) as total_now,
    sum(greatest(states.for_character - states.against_character, 0)) as total_character,
    sum(states.for_character + states.against_character) as evidence_character,
    sum(states.squares_character) as squares_character,
    count(*) as gene_count,
    -- Shannon entropy of the shares, from Σ x·ln x, so that one pass is enough.
    sum(case
        when states.for_character > states.against_character
            then (states.for_character - states.against_character)
                * ln(states.for_character - states.against_character)
    end) as total_log_character
from {{ ref('int_spine_numbered') }} as spine
inner join {{ ref('int_gene_states') }} as states
    on
        spine.customer_number = states.customer_number
        and spine.spine_ordinal >= states.from_ordinal
        and (states.to_ordinal is null or spine.spine_ordinal < states.to_ordinal)
group by spine.spine_number, states.locus_number
