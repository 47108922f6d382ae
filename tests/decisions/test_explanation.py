"""Reasons in plain words: literal genes in, literal sentences out."""

from genome.decisions.explanation import reasons, strongest
from genome.decisions.records import GeneMatch

ALLELES = {
    "department": 30,
    "category": 300,
    "brand": 6000,
    "brand_type": 2,
    "product": 90_000,
    "a": 9,
    "b": 9,
}


def gene(gene_id: str, share: float, weight: float, population: float, **other: object) -> GeneMatch:
    locus, _, allele = gene_id.partition(":")
    values = {"label": allele, "sentence": f"you often choose {allele}", "alleles": ALLELES[locus]}
    return GeneMatch(
        gene_id=gene_id,
        locus_id=locus,
        share=share,
        weight=weight,
        product=share * weight,
        population_share=population,
        **(values | other),
    )


def test_what_is_this_persons_own_speaks_before_what_everybody_does() -> None:
    everybody = gene("department:grocery", 0.62, 1.0, 0.50)  # large, and 1.24 times everybody's
    own = gene("category:yoghurt", 0.12, 0.9, 0.03)  # small, and four times everybody's
    assert [each.gene_id for each in strongest([everybody, own], 2)] == [own.gene_id, everybody.gene_id]


def test_one_of_many_says_more_than_one_of_two() -> None:
    two = gene("brand_type:national", 0.9, 1.0, 0.6)
    many = gene("brand:69", 0.09, 1.0, 0.06)
    assert [each.gene_id for each in strongest([two, many], 2)] == [many.gene_id, two.gene_id]


def test_a_product_that_was_bought_counts_whole_though_it_is_one_of_a_hundred_in_the_offer() -> None:
    product = gene("product:9", 0.01, 0.01, 0.001)
    category = gene("category:yoghurt", 0.03, 1.0, 0.02)
    assert [each.gene_id for each in strongest([category, product], 2)] == [product.gene_id, category.gene_id]


def test_what_is_chosen_less_than_by_others_is_never_called_often() -> None:
    assert strongest([gene("category:wine", 0.02, 1.0, 0.05)], 3) == ()


def test_one_gene_speaks_for_each_locus() -> None:
    found = strongest([gene("brand:1", 0.3, 0.5, 0.1), gene("brand:2", 0.3, 0.4, 0.1)], 3)
    assert [each.gene_id for each in found] == ["brand:1"]


def test_a_gene_nobody_else_has_does_not_break_the_ratio() -> None:
    assert len(strongest([gene("brand:1", 0.1, 0.5, 0.0)], 3)) == 1


def test_equally_telling_genes_are_ordered_by_name() -> None:
    both = [gene("b:1", 0.3, 0.5, 0.1), gene("a:1", 0.3, 0.5, 0.1)]
    assert [each.gene_id for each in strongest(both, 2)] == ["a:1", "b:1"]


def test_sentences_say_how_much_of_the_offer_it_is() -> None:
    said = reasons(
        [
            gene("category:yoghurt", 0.2, 0.9, 0.05),
            gene("category:cheese", 0.2, 0.5, 0.05),
            gene("brand:b", 0.2, 0.2, 0.05),
            gene("brand:c", 0.2, 0.02, 0.05),
            gene("product:milk 2 l", 0.2, 0.02, 0.05, sentence="you have bought milk 2 l"),
        ]
    )
    assert said == (
        "You often choose yoghurt; that is what this offer is for.",
        "You often choose cheese; that is about half of this offer.",
        "You often choose b; that is a good part of this offer.",
        "You often choose c; that is some of this offer.",
        "You have bought milk 2 l; this offer includes it.",
    )


def test_without_anything_in_common_no_reason_is_invented() -> None:
    assert len(reasons([])) == 1
    assert "you often" not in reasons([])[0].lower()


def test_braces_in_a_label_are_only_characters() -> None:
    odd = gene("category:{0.__class__}", 0.2, 0.9, 0.05)
    assert reasons([odd]) == ("You often choose {0.__class__}; that is what this offer is for.",)
