"""Reading features for serving: one HMGET for each entity, straight from Feast's layout, without Feast.

What is told apart (Feast's SDK shows all of it as None):

* an entity that a view has no row for: the view is in `OnlineRow.missing`;
* a row older than its view's ttl: the view is in `OnlineRow.stale`, its values are given;
* a null: the value is None and the view is in neither.

What came after the build is added on reading (`genome.features.live`): a customer's genes are those of the
build that the row is of, plus the deltas of the same build, whatever is being loaded meanwhile. An entity may be
asked for by any of its source keys, and a browser on which somebody has just identified counts as that customer's
(`genome.features.joins`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from genome import clock
from genome.errors import GenomeError
from genome.features import joins, layout
from genome.features.definitions import (
    CATALOGUE,
    GENERATION,
    Catalogue,
    LoadedView,
    ServiceDefinition,
    ViewDefinition,
    feature_hash,
    metadata_key,
)
from genome.features.live import GENOME_VIEW, Live, LiveReader, added, customer_key
from genome.settings import Settings
from genome.stores import valkey

if TYPE_CHECKING:
    import redis

PROJECT = "customer_genome"
"""Feast's project: every feature key ends with it."""


@dataclass(frozen=True, slots=True)
class OnlineRow:
    """The features of one entity.

    Attributes:
        id: as it was asked for.
        customer_id: whom it stands for: the id itself, or the customer of this source key.
        values: feature -> value; every feature of the service is there, None where it is null or missing.
        event_at: view -> the instant its row is valid from; None where there is no row.
        stale: views whose row is older than their ttl.
        missing: views that have no row of this entity.
        live: what has happened since, already in `values`; None: of this entity nothing is live.
    """

    id: str
    values: Mapping[str, Any]
    event_at: Mapping[str, datetime | None]
    stale: tuple[str, ...]
    missing: tuple[str, ...]
    live: Live | None = None
    customer_id: str = ""

    def __post_init__(self) -> None:
        if not self.customer_id:
            object.__setattr__(self, "customer_id", self.id)

    @property
    def is_known(self) -> bool:
        """Whether any view has a row of this entity."""
        return len(self.missing) < len(self.event_at)

    def jsonable(self) -> dict[str, Any]:
        """The values as JSON takes them: arrays as lists, instants as ISO 8601."""
        return {name: _jsonable(value) for name, value in self.values.items()}


@dataclass(frozen=True, slots=True)
class OnlineRows:
    """The answer to one read.

    Attributes:
        service: the feature service.
        feature_hash: of its feature list, as training logged it.
        epochs: view -> the publication that was loaded.
        rows: in the order of the ids.
    """

    service: str
    feature_hash: str
    epochs: Mapping[str, str]
    rows: tuple[OnlineRow, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to read one service's views of one entity: made once for each catalogue."""

    join_key: str
    fields: tuple[bytes, ...]
    views: tuple["_ViewPlan", ...]
    hash: str
    epochs: Mapping[str, str]
    live_epoch: str | None
    """The build whose genome is loaded, where the service has it."""
    row_epoch: int
    """Where the reply says which build the row's genome is of."""


@dataclass(frozen=True, slots=True)
class _ViewPlan:
    name: str
    ttl: timedelta
    timestamp: int  # where its event time stands in the reply
    features: tuple[tuple[int, str, Callable[[bytes], Any]], ...]


@dataclass(frozen=True, slots=True)
class _State:
    """What one generation of the store holds. Replaced whole, so that threads never see a mixture."""

    generation: bytes
    catalogue: Catalogue
    plans: dict[tuple[str, str], _Plan]

    def plan(self, service: str, entity: str) -> _Plan:
        found = self.plans.get((service, entity))
        if found is None:
            found = _make_plan(self.catalogue, self.catalogue.service(service), entity)
            self.plans[service, entity] = found
        return found


class OnlineReader:
    """Reads features of entities; one for each process, from any thread."""

    def __init__(self, settings: Settings, client: "redis.Redis | None" = None) -> None:
        """Connect; an embedded store that does not run is started.

        Args:
            settings: where the online store is, and what time it is.
            client: in place of a client made here, for example one with short time-outs.
        """
        self._settings = settings
        self._client = client or valkey.connect(settings, "online")
        self._state: _State | None = None
        self._live = LiveReader(self._client, settings.collector_partitions)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def __enter__(self) -> "OnlineReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, service: str, entity: str, ids: Sequence[str]) -> OnlineRows:
        """The features of a service for entities, in one round trip.

        A load that ended since the last read is noticed in the same round trip: the definitions are then
        read again, and the features with them.

        Args:
            service: for example `customer_genome_v1`.
            entity: `customer` or `offer`: the service's views of it are read.
            ids: the entities' ids, in the order wanted.

        Raises:
            GenomeError: nothing is loaded, or there is no such service.
        """
        state = self._state or self._refresh()
        while True:
            plan = state.plan(service, entity)
            try:
                return OnlineRows(
                    service, plan.hash, plan.epochs, tuple(self._rows(state.generation, plan, ids))
                )
            except _LoadedMeanwhileError:
                state = self._refresh()

    def _rows(self, generation: bytes, plan: _Plan, ids: Sequence[str]) -> list[OnlineRow]:
        found = self._fetch(generation, plan, ids)
        now = clock.now(self._settings)
        names = [each.stands_for or name for name, each in zip(ids, found, strict=True)]
        moved = [at for at, name in enumerate(names) if name != ids[at]]
        answers = self._fetch(generation, plan, [names[at] for at in moved]) if moved else []
        for at, each in zip(moved, answers, strict=True):
            if found[at].customer is None and ids[at] not in joins.things(each.joined):
                names[at] = ids[at]  # who identifies on so many things is no person
            else:
                found[at] = each
        rows = [
            _row(plan, asked, name, each.reply, now)
            for asked, name, each in zip(ids, names, found, strict=True)
        ]
        if plan.live_epoch is None:
            return rows
        joined = self._joined(generation, plan, names, found, now)
        # While a build is loaded some rows are of the one before: each is taken with its own deltas.
        live = self._live.read(
            names,
            [each.epoch(plan) for each in found],
            plan.live_epoch,
            [
                each.keys | {row.id.encode(errors="surrogatepass") for row in joined.get(name, ())}
                for name, each in zip(names, found, strict=True)
            ],
            now,
        )
        return [
            _lively(row, each, joined.get(row.customer_id, []), self._live)
            for row, each in zip(rows, live, strict=True)
        ]

    def _joined(
        self,
        generation: bytes,
        plan: _Plan,
        names: Sequence[str],
        found: Sequence["_Fetched"],
        now: datetime,
    ) -> dict[str, list[OnlineRow]]:
        """Customer → the rows of the things that are only this customer's, as of the same build."""
        said = [
            (name, each, thing)
            for name, each in dict(zip(names, found, strict=True)).items()
            for thing in joins.things(each.joined)
        ]
        if not said:
            return {}
        result: dict[str, list[OnlineRow]] = {}
        answers = self._fetch(generation, plan, [thing for _, _, thing in said])
        for (name, each, thing), mine in zip(said, answers, strict=True):
            # In the middle of a load one of the two may be of the build before: then this read leaves it out.
            if mine.stands_for == name and mine.epoch(plan) == each.epoch(plan):
                result.setdefault(name, []).append(_row(plan, thing, thing, mine.reply, now))
        return result

    def catalogue(self) -> Catalogue:
        """What is served and loaded at this moment.

        Raises:
            GenomeError: nothing has been loaded.
        """
        return self._refresh().catalogue

    def loaded(self) -> tuple[LoadedView, ...]:
        """Which version of each view is loaded; empty when nothing is. For `/readyz`."""
        found = read_catalogue(self._client)
        return found[1].loaded if found else ()

    def _refresh(self) -> _State:
        found = read_catalogue(self._client)
        if found is None:
            raise GenomeError("The online store holds no features.", "Fill it: `genome serve-features`.")
        self._state = _State(*found, {})
        return self._state

    def _fetch(self, generation: bytes, plan: _Plan, ids: Sequence[str]) -> list["_Fetched"]:
        """What the store holds of entities, in one round trip.

        Raises:
            _LoadedMeanwhileError: a load has ended since the plan was made.
        """
        epoch = plan.live_epoch
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hget(metadata_key(PROJECT), GENERATION)
            for key in layout.entity_keys(PROJECT, plan.join_key, ids):
                pipe.hmget(key, plan.fields)  # type: ignore[arg-type]
            if epoch is not None:
                for each in ids:
                    pipe.smembers(customer_key(epoch, each))
                    pipe.smembers(joins.joined_key(epoch, each))
                pipe.hmget(
                    joins.customers_key(epoch),  # type: ignore[arg-type]
                    [each.encode(errors="surrogatepass") for each in ids],
                )
            now, *replies = pipe.execute()
        if now != generation:
            raise _LoadedMeanwhileError
        count = len(ids)
        if epoch is None:
            return [_Fetched(reply) for reply in replies]
        return [
            _Fetched(reply, keys, joined, customer)
            for reply, keys, joined, customer in zip(
                replies[:count],
                replies[count : 3 * count : 2],
                replies[count + 1 : 3 * count : 2],
                replies[-1],
                strict=True,
            )
        ]


class _LoadedMeanwhileError(Exception):
    """A load has ended: definitions have to be read again."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What the store holds of one entity.

    Attributes:
        reply: the values of the plan's fields.
        keys: source keys of the customer that have something live.
        joined: what `genome.features.joins` says of it.
        customer: whom the build calls a source key's customer, where that is somebody else.
    """

    reply: Sequence[bytes | None]
    keys: set[bytes] = field(default_factory=set)
    joined: set[bytes] = field(default_factory=set)
    customer: bytes | None = None

    @property
    def stands_for(self) -> str | None:
        """Whose this source key is; None: its own."""
        if self.customer is not None:
            return self.customer.decode(errors="surrogatepass")
        return joins.owner(self.joined)

    def epoch(self, plan: _Plan) -> str | None:
        """The build that the row is of."""
        return (self.reply[plan.row_epoch] or b"").decode() or plan.live_epoch


def read_catalogue(client: "redis.Redis") -> tuple[bytes, Catalogue] | None:
    """The generation and the catalogue of the online store, or None where nothing is loaded."""
    generation, text = cast(
        "list[bytes | None]", client.hmget(metadata_key(PROJECT), [GENERATION, CATALOGUE])
    )
    if generation is None or text is None:
        return None
    return generation, Catalogue.model_validate_json(text)


def _make_plan(catalogue: Catalogue, service: ServiceDefinition, entity: str) -> _Plan:
    views: Sequence[ViewDefinition] = service.of(entity)
    fields: list[bytes] = []
    planned: list[_ViewPlan] = []
    for view in views:
        start = len(fields) + 1
        fields.append(layout.timestamp_field(view.name))
        fields += [layout.feature_field(view.name, feature.name) for feature in view.features]
        features = tuple(
            (start + place, feature.name, layout.decoder(feature.kind))
            for place, feature in enumerate(view.features)
        )
        planned.append(_ViewPlan(view.name, view.ttl, start - 1, features))
    loaded = {each.view: each.epoch for each in catalogue.loaded}
    fields.append(layout.epoch_field(GENOME_VIEW))
    return _Plan(
        views[0].join_key,
        tuple(fields),
        tuple(planned),
        feature_hash(service),
        {view.name: loaded[view.name] for view in views if view.name in loaded},
        loaded.get(GENOME_VIEW) if any(view.name == GENOME_VIEW for view in views) else None,
        len(fields) - 1,
    )


def _row(
    plan: _Plan, asked: str, customer_id: str, reply: Sequence[bytes | None], now: datetime
) -> OnlineRow:
    values: dict[str, Any] = {}
    event_at: dict[str, datetime | None] = {}
    stale: list[str] = []
    missing: list[str] = []
    for view in plan.views:
        stamp = reply[view.timestamp]
        if stamp is None:
            event_at[view.name] = None
            missing.append(view.name)
            values.update((name, None) for _, name, _ in view.features)
            continue
        at = event_at[view.name] = layout.decode_timestamp(stamp)
        if now - at > view.ttl:
            stale.append(view.name)
        for place, name, decode in view.features:
            data = reply[place]
            values[name] = decode(data) if data else None
    return OnlineRow(asked, values, event_at, tuple(stale), tuple(missing), customer_id=customer_id)


def _lively(row: OnlineRow, since: Live, joined: Sequence[OnlineRow], reader: LiveReader) -> OnlineRow:
    bases = [each.values for each in joined if each.values.get("gene_hashes") is not None]
    if not since.source_keys and not bases:
        return row
    moved = since.epoch is not None and (len(since.deltas) or bases)
    genes = reader.genes(since.epoch) if moved and since.epoch is not None else None
    if genes is None:
        return replace(row, live=since)
    base = joins.together([row.values, *bases]) if bases else row.values
    return replace(
        row,
        values={**row.values, **added(base, since.deltas, genes)},
        # Whom the build does not know yet has the genes of what came since, valid from the same instant.
        event_at={**row.event_at, GENOME_VIEW: row.event_at.get(GENOME_VIEW) or genes.as_of},
        missing=tuple(view for view in row.missing if view != GENOME_VIEW),
        live=since,
    )


def _jsonable(value: Any) -> Any:
    if hasattr(value, "tolist"):
        # JSON knows no NaN: a list's missing item is null.
        return [None if each != each else each for each in value.tolist()]  # noqa: PLR0124
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
