"""The words of a decision: what goes in, what comes out, what the log keeps. All of it is frozen.

The log keeps `LoggedDecision` for years, so code of today must read what any code wrote before: a field is
added with a default and never removed or renamed. tests/decisions/test_records.py holds an old document
against that.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from genome.decisions.placements import Placement

DropReason = Literal[
    "offer_unknown",
    "not_started",
    "ended",
    "kind_not_allowed",
    "same_coupon",
    "below_silence",
    "outranked",
]
SilenceReason = Literal[
    "unknown_customer",
    "no_scores",
    "stale_scores",
    "no_candidates",
    "nothing_eligible",
    "below_threshold",
    "store_unavailable",
]


class Frozen(BaseModel):
    """A value: compared by content, never changed, no field beyond those it names."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Ask(Frozen):
    """Who is asked about, and where the answer will appear."""

    customer_id: str = Field(
        min_length=1, max_length=200, description="as in `dim_customers`", examples=["household:1"]
    )
    placement: str = Field(
        min_length=1, max_length=64, description="a name from placements.toml", examples=["homepage"]
    )
    channel: str | None = Field(
        None, min_length=1, max_length=64, description="one of the placement's channels; left out: any"
    )
    count: int | None = Field(
        None, ge=1, le=20, description="at most so many offers; left out: the placement's own number"
    )
    product_ids: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        (),
        max_length=50,
        description="what the request is about: products in the basket, looked at, or out of stock",
    )


class Related(Frozen):
    """Why a product of the request speaks for an offer."""

    relation: str = Field(description="complement, substitute or premium")
    product_id: str = Field(description="of the request")
    other_product_id: str = Field(description="of the offer, the one that says most")
    lift: float = Field(
        description="what the score was multiplied by: the lifts of all related products, by weight"
    )
    score_alone: float = Field(description="the ML model's score")
    in_words: str


class Candidate(Frozen):
    """An offer that the ML model scored for this customer.

    `label` and the rest are null where the online store holds the score but no longer the offer.
    """

    offer_id: str
    score: float = Field(allow_inf_nan=False, description="the ML model's score; higher is better")
    label: str | None = None
    kind: str | None = None
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = Field(None, description="exclusive")
    coupon_upc: str | None = Field(None, description="the code printed on its coupon; null where it has none")
    related: Related | None = Field(
        None, description="what a product of the request had to say; it is in the score"
    )


class Inputs(Frozen):
    """Everything a choice depends on: the same inputs give the same choice, always."""

    ask: Ask
    placement: Placement
    now: AwareDatetime
    is_known: bool = Field(description="whether the online store knows the customer")
    scored_at: AwareDatetime | None = Field(description="the scores' own time; null where there are none")
    candidates: tuple[Candidate, ...] = ()


class Dropped(Frozen):
    """A candidate that is not in the answer, and why."""

    offer_id: str
    score: float
    reason: DropReason
    message: str


class Silence(Frozen):
    """Why nothing is offered."""

    reason: SilenceReason
    message: str


class Choice(Frozen):
    """What arbitration says: the chosen, best first, or silence; and what became of everybody else."""

    chosen: tuple[Candidate, ...]
    silence: Silence | None
    dropped: tuple[Dropped, ...]
    probability: float = Field(description="of this choice; 1 while choosing is deterministic")


class GeneMatch(Frozen):
    """What one gene adds to the match of customer and offer, with the words to say it."""

    gene_id: str
    locus_id: str
    label: str
    share: float = Field(description="the customer's share of this gene in its locus, by character")
    weight: float = Field(description="the offer's weight of it in its locus")
    product: float = Field(description="share × weight: what it adds to the match")
    population_share: float = Field(description="what the share is in the whole population")
    alleles: int = Field(description="how many genes the locus has")
    sentence: str = Field(description="how a sentence about it begins, from dim_genes")


class ChosenOffer(Frozen):
    """One offer of the answer."""

    offer_id: str
    label: str
    kind: str
    score: float
    rank: int
    starts_at: datetime
    ends_at: datetime = Field(description="exclusive")
    reasons: tuple[str, ...] = Field(description="in plain words, strongest first")
    matches: tuple[GeneMatch, ...] = Field(
        description="the strongest genes in common; the reasons quote them"
    )
    related: Related | None = Field(None, description="what a product of the request had to say")


class Versions(Frozen):
    """Everything that had a say in the answer."""

    model_name: str | None
    model_version: str | None
    feature_services: Mapping[str, str] = Field(
        description="service → hash of its feature list, as in training"
    )
    feature_epochs: Mapping[str, str] = Field(description="by feature view: the publication that was loaded")
    genes_epoch: str | None = Field(description="the publication that labels and population shares come from")
    placements: str = Field(description="hash of the placements file")
    code: str


class Decision(Frozen):
    """The answer, as it is given and as it is logged."""

    decision_id: str | None = Field(description="null where the answer could not be recorded")
    decided_at: AwareDatetime
    customer_id: str
    placement: str
    channel: str | None
    offers: tuple[ChosenOffer, ...]
    silence: Silence | None
    dropped: tuple[Dropped, ...]
    probability: float
    is_fallback: bool = Field(description="true where a store did not answer, so this is not a real choice")
    versions: Versions


class LoggedDecision(Frozen):
    """A decision with its inputs: enough to make it again."""

    decision: Decision
    inputs: Inputs | None
