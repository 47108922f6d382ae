"""What the API and the command line do, without HTTP: bring the inputs, let pure functions decide, record.

One `GenomeService` is made for each process. All its methods may be called from many threads.
"""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import metadata
from typing import Any, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from genome import clock
from genome.api.log import DecisionLog, Once, StoreUnavailableError, quick_client, unavailable
from genome.api.published import Catalogue, Published
from genome.customers import history, segments, view
from genome.customers.page import customer_page
from genome.customers.population import Distribution, distribution
from genome.decisions import placements
from genome.decisions.arbitration import choose
from genome.decisions.context import Link, in_context
from genome.decisions.explanation import reasons, strongest
from genome.decisions.records import (
    Ask,
    Candidate,
    Choice,
    ChosenOffer,
    Decision,
    Dropped,
    GeneMatch,
    Inputs,
    LoggedDecision,
    Silence,
    Versions,
)
from genome.errors import GenomeError, UsageError
from genome.features.definitions import LoadedView
from genome.features.online import OnlineRow, OnlineRows
from genome.match import GeneVectors, contributions
from genome.products import relations
from genome.rules.rules import SegmentRule, own_file
from genome.rules.rules import segments as segment_rules
from genome.settings import Settings

SERVING_SERVICE = "customer_genome_v1"
OFFERS_SERVICE = "offers_v1"
GENOME_VIEW = "feat_customer_genome"
SCORES_VIEW = "feat_customer_offer_scores"
QUOTED = 3
"""So many genes are quoted for one offer."""


class FeatureSource(Protocol):
    """What is asked of the online store: `OnlineReader` does it."""

    def read(self, service: str, entity: str, ids: Sequence[str]) -> OnlineRows:
        """The features of a service for entities, in the order of the ids."""

    def loaded(self) -> tuple[LoadedView, ...]:
        """Which version of each view the store holds; empty when it holds nothing."""

    def close(self) -> None:
        """Give the connections back."""


class NotFoundError(GenomeError):
    """There is no such thing; asking again does not help."""


class ConflictError(GenomeError):
    """The same Idempotency-Key came with another request."""


class Feedback(BaseModel):
    """What happened to an offer of a decision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: Literal["shown", "clicked", "dismissed", "accepted"]
    offer_id: str | None = Field(
        None, min_length=1, max_length=200, description="which offer; left out where the answer had one"
    )
    occurred_at: AwareDatetime | None = Field(None, description="when it happened; left out: now")


class RecordedFeedback(BaseModel):
    """A feedback as the log keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feedback_id: str
    decision_id: str
    event: str
    offer_id: str
    occurred_at: AwareDatetime
    received_at: AwareDatetime


class Told(BaseModel):
    """A logged decision: what was decided, what came of it, and whether it can be made again."""

    model_config = ConfigDict(frozen=True)

    decision: Decision
    feedback: tuple[RecordedFeedback, ...]
    is_reproduced: bool | None = Field(
        description="whether the logged inputs give the same choice again; null where no inputs were logged"
    )


class Offer(BaseModel):
    """An offer as published."""

    model_config = ConfigDict(frozen=True)

    offer_id: str
    label: str
    kind: str
    campaign_id: str | None
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    product_count: int
    is_live: bool


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether decisions can be served, and how old everything is."""

    is_ready: bool
    problems: tuple[str, ...]
    stale: tuple[str, ...]
    publications: Mapping[str, Mapping[str, Any]]
    stores: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class _Offers:
    """Offers of one publication, and the last answer of the store about them (for its versions)."""

    epoch: str | None
    rows: Mapping[str, OnlineRow] = field(default_factory=dict)
    answers: tuple[OnlineRows, ...] = ()

    def values(self, offer_id: str) -> Mapping[str, Any]:
        """An offer's features; empty where the store does not know it."""
        row = self.rows.get(offer_id)
        return row.values if row else {}


class GenomeService:
    """Decisions, features and genomes of customers, from the online store and the published files."""

    def __init__(self, settings: Settings, features: FeatureSource, log: DecisionLog) -> None:
        self._settings = settings
        self._features = features
        self._log = log
        self._published = Published(settings)
        self._placements = placements.packaged()
        self._offers = _Offers(None)
        self._related: relations.RelationTable | None = None
        self._code = code_version()

    def close(self) -> None:
        """Give connections back."""
        self._features.close()
        self._log.close()

    def warm(self) -> None:
        """Read the published files now, so that the first request does not wait for them."""
        self._published.catalogue()

    # Decisions

    def decide(
        self, ask: Ask, *, caller: str = "cli", idempotency_key: str | None = None
    ) -> tuple[Decision, bool]:
        """Choose what to offer, record it, and say whether the answer is the one given to an earlier call.

        Where a store does not answer the decision is silence, marked as a fallback, and not recorded.

        Raises:
            UsageError: no such placement, or the placement has no such channel.
            ConflictError: the same Idempotency-Key came with another request.
        """
        placement = self._placement(ask)
        now = clock.now(self._settings)
        once = None
        if idempotency_key is not None:
            once = Once.of(caller, idempotency_key, ask.model_dump_json().encode())
        try:
            if once is not None and (seen := self._log.seen(once)) is not None:
                return _replayed(seen.outcome, seen.body), True
            decision, inputs = self._decide(ask, placement, now)
            body = LoggedDecision(decision=decision, inputs=inputs).model_dump_json().encode()
            appended = self._log.append(str(decision.decision_id), decision.customer_id, body, once)
        except StoreUnavailableError as error:
            return _fallback(ask, now, error.store, self._versions([])), False
        if appended.outcome == "recorded":
            return decision, False
        return _replayed(appended.outcome, appended.body), True

    def preview(self, ask: Ask) -> Decision:
        """What would be offered now, without recording it: for people who only look."""
        placement = self._placement(ask)
        now = clock.now(self._settings)
        try:
            decision, _ = self._decide(ask, placement, now)
        except StoreUnavailableError as error:
            return _fallback(ask, now, error.store, self._versions([]))
        return decision.model_copy(update={"decision_id": None})

    def decision(self, decision_id: str) -> Told:
        """A decision from the log, with its feedback, made again from its inputs as a check.

        Raises:
            NotFoundError: no decision of this id was recorded.
        """
        logged = self._logged(decision_id)
        again = None
        if logged.inputs is not None:
            again = _same_choice(choose(logged.inputs), logged.decision)
        feedback = tuple(
            RecordedFeedback.model_validate_json(body) for body in self._log.feedback(decision_id)
        )
        return Told(decision=logged.decision, feedback=feedback, is_reproduced=again)

    def decisions_of(self, customer_id: str, count: int = 20) -> list[Decision]:
        """The customer's newest decisions, newest first."""
        return [
            LoggedDecision.model_validate_json(body).decision
            for body in self._log.of_customer(customer_id, count)
        ]

    def give_feedback(self, decision_id: str, feedback: Feedback) -> RecordedFeedback:
        """Record what happened to an offer of a decision.

        Raises:
            NotFoundError: no decision of this id was recorded.
            UsageError: the decision did not offer that.
        """
        decision = self._logged(decision_id).decision
        offered = [offer.offer_id for offer in decision.offers]
        offer_id = feedback.offer_id or (offered[0] if len(offered) == 1 else None)
        if offer_id not in offered:
            raise UsageError(
                "The decision did not offer that."
                if feedback.offer_id
                else "The decision has no single offer.",
                f"Say offer_id: {', '.join(offered)}." if offered else "It was silence: nothing was shown.",
            )
        now = clock.now(self._settings)
        recorded = RecordedFeedback(
            feedback_id=f"f_{uuid.uuid4().hex}",
            decision_id=decision_id,
            event=feedback.event,
            offer_id=str(offer_id),
            # A caller's clock from the future must not make an answer later than its own arrival.
            occurred_at=min(feedback.occurred_at or now, now),
            received_at=now,
        )
        self._log.append_feedback(decision_id, decision.customer_id, recorded.model_dump_json().encode())
        return recorded

    # Customers

    def genome(self, customer_id: str, *, by_locus: int = 8) -> view.GenomeView:
        """The customer's genome.

        Raises:
            NotFoundError: the online store knows nobody of this id.
        """
        row = self._read("customer", [customer_id]).rows[0]
        known = [at for name, at in row.event_at.items() if at is not None and name != SCORES_VIEW]
        if not known:
            raise NotFoundError(
                "Nobody of this id is known online.",
                "Look for the customer with GET /v1/customers?identifier=…, or run `genome serve-features`.",
            )
        return view.build(
            self._published.catalogue(),
            row.customer_id,
            row.values,
            self._published.singular(row.customer_id),
            as_of=min(known),
            now=clock.now(self._settings),
            by_locus=by_locus,
            live=row.live,
        )

    def segments(self, customer_id: str) -> tuple[str, tuple[SegmentRule, ...]]:
        """The customer's id, and the segments that describe them now; genes include what is live.

        Raises:
            NotFoundError: the online store knows nobody of this id.
        """
        row = self._read("customer", [customer_id]).rows[0]
        if not row.is_known:
            raise NotFoundError(
                "Nobody of this id is known online.",
                "Look for the customer with GET /v1/customers?identifier=…, or run `genome serve-features`.",
            )
        catalogue = self._published.catalogue()
        rules = segment_rules(own_file(self._settings, "segments"))
        genes = dict(zip(catalogue.gene_ids, catalogue.index.hashes.tolist(), strict=True))
        found = segments.segments_of(rules, row.values, genes, clock.now(self._settings))
        return row.customer_id, tuple(rule for rule in rules if rule.id in found)

    def population(self, gene_id: str) -> Distribution:
        """How a gene is distributed over customers.

        Raises:
            NotFoundError: there is no such gene.
        """
        try:
            return distribution(self._settings, self._published.catalogue(), gene_id)
        except UsageError as error:
            raise NotFoundError(error.what, error.remedy) from error

    def past_genome(
        self, customer_id: str, *, as_of: datetime | None, known_at: datetime | None, by_locus: int = 8
    ) -> history.PastGenome:
        """The genome at a time, as it was known at a time; what is left out is now.

        Raises:
            NotFoundError: nothing published holds this customer.
        """
        now = clock.now(self._settings)
        return self._history(customer_id).genome(as_of or now, known_at or now, by_locus=by_locus)

    def why(
        self, customer_id: str, gene_id: str, *, as_of: datetime | None, known_at: datetime | None
    ) -> history.Why:
        """The interactions behind an affinity.

        Raises:
            NotFoundError: nothing published holds this customer or this gene of the customer.
        """
        now = clock.now(self._settings)
        try:
            return self._history(customer_id).why(gene_id, as_of or now, known_at or now)
        except UsageError as error:
            raise NotFoundError(error.what, error.remedy) from error

    def course(self, customer_id: str) -> history.Course | None:
        """How the customer's strongest categories went; None where the history does not hold the customer."""
        try:
            return self._history(customer_id).course(clock.now(self._settings))
        except NotFoundError:
            return None

    def page(self, customer_id: str) -> str:
        """The page about a customer: the genome, what would be offered now, the last decisions, how it came to be.

        Raises:
            NotFoundError: the online store knows nobody of this id.
        """
        genome = self.genome(customer_id)
        decision = self.preview(Ask(customer_id=genome.customer_id, placement="service_desk"))
        try:
            decided = self.decisions_of(genome.customer_id, 5)
        except StoreUnavailableError:
            decided = []  # the page is worth having without it
        now = clock.now(self._settings)
        return customer_page(genome, decision, decided, now, self.course(genome.customer_id))

    def _history(self, customer_id: str) -> history.History:
        try:
            return history.History(self._settings, self._published.catalogue(), customer_id)
        except GenomeError as error:
            raise NotFoundError(error.what, error.remedy) from error

    def find(self, identifier: str) -> list[str]:
        """Customers that an identifier stands for: by the published identity map, and by who has just identified.

        Where the online store does not answer it is the published map alone.
        """
        found = self._published.customers(identifier)
        with suppress(StoreUnavailableError):
            row = self._read("customer", [identifier]).rows[0]
            if row.customer_id != identifier:
                return [row.customer_id]
            if not found and row.live is not None and row.live.source_keys:
                return [identifier]
        return found

    def features(self, service: str, customer_ids: Sequence[str]) -> OnlineRows:
        """All features of a feature service for many customers.

        Raises:
            NotFoundError: there is no such service.
            StoreUnavailableError: the online store does not answer, or holds nothing yet.
        """
        return self._read("customer", customer_ids, service)

    # State

    def publication_ages(self) -> dict[str, float]:
        """Seconds since each group was published."""
        now = clock.now(self._settings)
        return {
            group: publication.age(now).total_seconds()
            for group, publication in self._published.current().items()
            if publication is not None
        }

    def readiness(self) -> Readiness:
        """Whether decisions can be served; what is old is told, but does not make it unready."""
        now = clock.now(self._settings)
        problems, stale = [], []
        publications: dict[str, Mapping[str, Any]] = {}
        for group, publication in self._published.current().items():
            if publication is None:
                problems.append(f"nothing of '{group}' is published")
                continue
            age = publication.age(now)
            publications[group] = {
                "epoch": publication.epoch,
                "published_at": publication.published_at.isoformat(),
                "age_seconds": round(age.total_seconds(), 3),
            }
            limit = min(placement.max_age_hours for placement in self._placements.by_name.values())
            if age > timedelta(hours=limit):
                stale.append(f"'{group}' was published {age.total_seconds() / 3600:,.0f} hours ago")
        stores = {"online": True, "events": True}
        views: tuple[LoadedView, ...] = ()
        try:
            with unavailable("online"):
                views = self._features.loaded()
            if not views:
                problems.append("the online store holds no features")
        except StoreUnavailableError as error:
            stores["online"] = False
            problems.append(error.what)
        try:
            self._log.ping()
        except StoreUnavailableError as error:
            stores["events"] = False
            problems.append(error.what)
        stale += [
            f"{each.view} serves {each.epoch}, and {publications[group]['epoch']} is published"
            for each in views
            for group in (_group(each.view),)
            if group in publications and publications[group]["epoch"] != each.epoch
        ]
        return Readiness(not problems, tuple(problems), tuple(stale), publications, stores)

    # How a decision comes about

    def _placement(self, ask: Ask) -> placements.Placement:
        placement = self._placements.get(ask.placement)
        if placement is None:
            raise UsageError(
                "There is no placement of that name.", f"Choose one of {', '.join(self._placements.names)}."
            )
        if ask.channel is not None and ask.channel not in placement.channels:
            raise UsageError(
                f"'{placement.placement}' is not seen through that channel.",
                f"Choose one of {', '.join(placement.channels)}, or leave it out.",
            )
        return placement

    def _decide(self, ask: Ask, placement: placements.Placement, now: datetime) -> tuple[Decision, Inputs]:
        answer = self._read("customer", [ask.customer_id])
        customer = answer.rows[0]
        scored_at = customer.event_at.get(SCORES_VIEW)
        candidates: tuple[Candidate, ...] = ()
        described = _Offers(None)
        if scored_at is not None:
            offer_ids = [str(offer_id) for offer_id in _listed(customer.values["offer_ids"])]
            described = self._describe(offer_ids, answer.epochs.get(GENOME_VIEW))
            candidates = tuple(
                _candidate(offer_id, float(score), described.values(offer_id))
                for offer_id, score in zip(offer_ids, _listed(customer.values["scores"]), strict=True)
            )
            if ask.product_ids:
                candidates = self._in_context(candidates, ask.product_ids, described)
        inputs = Inputs(
            ask=ask,
            placement=placement,
            now=now,
            is_known=customer.is_known,
            scored_at=scored_at,
            candidates=candidates,
        )
        choice = choose(inputs)
        decision = Decision(
            decision_id=f"d_{uuid.uuid4().hex}",
            decided_at=now,
            customer_id=customer.customer_id,
            placement=ask.placement,
            channel=ask.channel,
            offers=self._explained(customer.values, choice, described),
            silence=choice.silence,
            dropped=choice.dropped,
            probability=choice.probability,
            is_fallback=False,
            versions=self._versions([answer, *described.answers]),
        )
        return decision, inputs

    def _in_context(
        self, candidates: tuple[Candidate, ...], product_ids: Sequence[str], described: "_Offers"
    ) -> tuple[Candidate, ...]:
        """Candidates with what the request's products say of them."""
        table = self._relation_table()
        links = [
            Link(each.relation, each.product_id, each.other_product_id, each.lift_low, each.in_words)
            for each in table.of(product_ids)
        ]
        if not links:
            return candidates
        products = {
            table.genes[each]: each for link in links if (each := link.other_product_id) in table.genes
        }
        about = frozenset(product_ids)
        found = []
        for candidate in candidates:
            values = described.values(candidate.offer_id)
            genes, shares = _listed(values.get("gene_hashes")), _listed(values.get("gene_weights"))
            weights = {
                products[int(gene)]: float(share)
                for gene, share in zip(genes, shares, strict=True)
                if int(gene) in products
            }
            found.append(in_context(candidate, links, weights, about))
        return tuple(found)

    def _relation_table(self) -> relations.RelationTable:
        """The relations of the publication whose genes are known; read when that changes."""
        catalogue = self._published.catalogue()
        held = self._related
        if held is None or held.epoch != catalogue.epoch:
            held = self._related = relations.read(self._settings, catalogue)
        return held

    def relations(self, product_id: str) -> relations.Relations:
        """What one product is to others.

        Raises:
            NotFoundError: there is no such product.
        """
        try:
            return relations.one(self._relation_table(), self._published.catalogue(), product_id)
        except UsageError as error:
            raise NotFoundError(error.what, error.remedy) from error

    def _read(self, entity: str, ids: Sequence[str], service: str = SERVING_SERVICE) -> OnlineRows:
        """Read online features.

        Raises:
            StoreUnavailableError: the store does not answer, or holds nothing yet.
            NotFoundError: it holds features, but no such service.
        """
        with unavailable("online"):
            try:
                return self._features.read(service, entity, ids)
            except GenomeError as error:
                if not self._features.loaded():
                    raise StoreUnavailableError("online") from error
                raise NotFoundError(error.what, error.remedy) from error

    def _describe(self, offer_ids: Sequence[str], epoch: str | None) -> "_Offers":
        """The offers' online rows. They change with a publication only, so they are kept until the next."""
        held = self._offers
        if held.epoch != epoch:
            held = _Offers(epoch)
        missing = [offer_id for offer_id in offer_ids if offer_id not in held.rows]
        if missing:
            answer = self._read("offer", missing, OFFERS_SERVICE)
            # A new value, not a change: other threads read the old one. Who is unknown may be known soon.
            known = {row.id: row for row in answer.rows if row.is_known}
            held = self._offers = _Offers(epoch, {**held.rows, **known}, (answer,))
        return held

    def _explained(
        self, genes: Mapping[str, Any], choice: Choice, described: "_Offers"
    ) -> tuple[ChosenOffer, ...]:
        if not choice.chosen:
            return ()
        catalogue = self._published.catalogue()
        person = GeneVectors.from_lists(
            catalogue.index, [genes.get("gene_hashes")], [genes.get("shares_character")]
        )
        rows = [described.values(candidate.offer_id) for candidate in choice.chosen]
        dna = GeneVectors.from_lists(
            catalogue.index,
            [row.get("gene_hashes") for row in rows],
            [row.get("gene_weights") for row in rows],
        )
        return tuple(
            _chosen(candidate, place, strongest(_matches(catalogue, person, dna, place), QUOTED))
            for place, candidate in enumerate(choice.chosen)
        )

    def _versions(self, answers: Sequence[OnlineRows]) -> Versions:
        """Of everything that was read, the customer's features first."""
        values: Mapping[str, Any] = answers[0].rows[0].values if answers else {}
        return Versions(
            model_name=values.get("model_name"),
            model_version=_text(values.get("model_version")),
            feature_services={each.service: each.feature_hash for each in answers},
            feature_epochs={view: epoch for each in answers for view, epoch in sorted(each.epochs.items())},
            genes_epoch=self._published.catalogue().epoch,
            placements=self._placements.version,
            code=self._code,
        )

    def _logged(self, decision_id: str) -> LoggedDecision:
        body = self._log.read(decision_id)
        if body is None:
            raise NotFoundError(
                "No decision of this id was recorded.",
                "Take the decision_id from the answer to POST /v1/decisions.",
            )
        return LoggedDecision.model_validate_json(body)


def _candidate(offer_id: str, score: float, values: Mapping[str, Any]) -> Candidate:
    return Candidate(
        offer_id=offer_id,
        score=score,
        label=values.get("label"),
        kind=values.get("kind"),
        starts_at=values.get("starts_at"),
        ends_at=values.get("ends_at"),
        coupon_upc=values.get("coupon_upc"),
    )


def _chosen(candidate: Candidate, place: int, matches: tuple[GeneMatch, ...]) -> ChosenOffer:
    return ChosenOffer.model_validate(
        {
            "offer_id": candidate.offer_id,
            "label": candidate.label,
            "kind": candidate.kind,
            "score": candidate.score,
            "rank": place + 1,
            "starts_at": candidate.starts_at,
            "ends_at": candidate.ends_at,
            "reasons": reasons(matches, candidate.related),
            "matches": matches,
            "related": candidate.related,
        }
    )


def _matches(catalogue: Catalogue, person: GeneVectors, dna: GeneVectors, offer_row: int) -> list[GeneMatch]:
    found = []
    for each in contributions(person, dna, offer_row=offer_row):
        at = each.position
        found.append(
            GeneMatch(
                gene_id=catalogue.gene_ids[at],
                locus_id=each.locus_id,
                label=catalogue.labels[at],
                share=each.share,
                weight=each.weight,
                product=each.product,
                population_share=catalogue.population_shares[at],
                alleles=catalogue.alleles[each.locus_id],
                sentence=catalogue.sentences[at],
            )
        )
    return found


def _replayed(outcome: str, body: bytes) -> Decision:
    if outcome == "conflict":
        raise ConflictError(
            "This Idempotency-Key was used for another request.", "Use a new key for each new request."
        )
    return LoggedDecision.model_validate_json(body).decision


def _fallback(ask: Ask, now: datetime, store: str, versions: Versions) -> Decision:
    """What is said where a store does not answer: always the same, and marked."""
    return Decision(
        decision_id=None,
        decided_at=now,
        customer_id=ask.customer_id,
        placement=ask.placement,
        channel=ask.channel,
        offers=(),
        silence=Silence(reason="store_unavailable", message=f"The {store} store does not answer."),
        dropped=(),
        probability=1.0,
        is_fallback=True,
        versions=versions,
    )


def _same_choice(choice: Choice, decision: Decision) -> bool:
    """Whether a choice made again is the logged one, with the same words where it quotes genes."""
    dropped: tuple[Dropped, ...] = decision.dropped
    return (
        [(c.offer_id, c.score) for c in choice.chosen] == [(o.offer_id, o.score) for o in decision.offers]
        and choice.silence == decision.silence
        and choice.dropped == dropped
        and choice.probability == decision.probability
        and all(reasons(offer.matches, offer.related) == offer.reasons for offer in decision.offers)
    )


def _group(view_name: str) -> str:
    return "scores" if view_name == SCORES_VIEW else "genome"


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def code_version() -> str:
    """The package's version and, in a checkout, its commit."""
    import subprocess

    from genome.settings import PROJECT_ROOT

    version = metadata.version("customer-genome")
    with suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
        return f"{version}+{found.stdout.strip()}"
    return version


def published_offers(settings: Settings, *, live_only: bool = True) -> list[Offer]:
    """The published offers, by start. It needs no store."""
    now = clock.now(settings)
    found = [
        Offer(
            offer_id=row["offer_id"],
            label=row["label"],
            kind=row["kind"],
            campaign_id=row["campaign_id"],
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            product_count=row["product_count"],
            is_live=row["starts_at"] <= now < row["ends_at"],
        )
        for row in Published(settings).offers()
    ]
    return [offer for offer in found if offer.is_live or not live_only]


def open_service(settings: Settings, *, start: bool = True) -> GenomeService:
    """The service on the real stores.

    Args:
        settings: where they are.
        start: start embedded stores that do not run.
    """
    from genome.features.online import OnlineReader
    from genome.stores import valkey

    if start:
        for store in valkey.STORES:
            valkey.ensure(settings, store)
    return GenomeService(
        settings,
        OnlineReader(settings, client=quick_client(settings, "online")),
        DecisionLog(quick_client(settings, "events")),
    )
