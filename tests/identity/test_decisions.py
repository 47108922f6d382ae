"""A person's merge and its undoing: events, with who and why; nothing is moved, so nothing is lost."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from support import built
from support.identities import Met, land

from genome import warehouse
from genome.errors import UsageError
from genome.identity import decisions, resolve
from genome.lake.manifest import Manifest
from genome.settings import Settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(settings: Settings, day: int) -> Settings:
    return settings.model_copy(update={"now": NOON + timedelta(days=day)})


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home", now=NOON + timedelta(days=30), threads=1)
    land(
        settings,
        "a",
        [
            Met(NOON, "user:A", ("anonymous:a",)),
            Met(NOON + timedelta(days=1), "user:B", ("anonymous:b",)),
            Met(NOON + timedelta(days=2), "user:C", ("anonymous:c",)),
        ],
    )
    resolve.resolve(settings)
    return settings


def now(settings: Settings) -> dict[str, str]:
    rows = pq.read_table(resolve.current(settings)["identity_keys"]).to_pylist()
    return {row["source_key"]: row["customer_id"] for row in rows if row["known_to"] is None}


def test_a_merge_joins_and_its_undoing_gives_back_what_was(home: Settings) -> None:
    before = now(home)
    done = decisions.merge(at(home, 31), "anonymous:b", "user:A", by="ann", reason="called us")
    assert (done.by, done.reason, done.is_merge) == ("ann", "called us", True)
    resolve.resolve(home)
    assert {now(home)[key] for key in ("user:A", "user:B", "anonymous:a", "anonymous:b")} == {"user:A"}
    assert now(home)["user:C"] == "user:C"
    decisions.unmerge(at(home, 33), "user:A", "anonymous:b", by="bob")
    resolve.resolve(home)
    assert now(home) == before
    rows = pq.read_table(resolve.current(home)["identity_keys"]).to_pylist()
    told = [(row["known_at"], row["known_to"]) for row in rows if row["source_key"] == "user:B"]
    day = [NOON + timedelta(days=number) for number in (1, 31, 33)]
    assert told == [(day[0], day[1]), (day[1], day[2]), (day[2], None)]


def test_at_a_set_clock_the_order_of_decisions_counts(home: Settings) -> None:
    before = now(home)
    for _ in range(2):
        decisions.merge(home, "user:A", "user:B", by="ann")
        resolve.resolve(home)
        assert now(home)["user:B"] == "user:A"
        decisions.unmerge(home, "user:A", "user:B", by="ann")
        resolve.resolve(home)
        assert now(home) == before


def test_what_rules_joined_is_taken_apart_and_stays_apart(home: Settings) -> None:
    decisions.unmerge(home, "user:A", "anonymous:a", by="ann", reason="a library's computer")
    resolve.resolve(home)
    assert now(home)["user:A"] == "user:A"
    assert "anonymous:a" not in now(home)
    land(home, "later", [Met(NOON + timedelta(days=40), "user:A", ("anonymous:a",))])
    resolve.resolve(home)
    assert "anonymous:a" not in now(home)
    rows = pq.read_table(resolve.current(home)["identity_links"]).to_pylist()
    assert [row["reason"] for row in rows if row["other_key"] == "anonymous:a"] == ["by_a_person"]


def test_what_was_decided_about_a_households_key_goes_before_who_lives_there(home: Settings) -> None:
    lives = [
        Met(NOON + timedelta(days=day), f"contact:{who}", ("household:7",), "crm")
        for day, who in ((3, 1), (4, 2))
    ]
    land(home, "b", [Met(NOON, "household:7", (), "pos"), *lives])
    resolve.resolve(home)
    before = now(home)
    assert before["household:7"] == "household:7"  # two live there: it is nobody's
    decisions.merge(at(home, 31), "household:7", "user:B", by="ann", reason="it is a shop's")
    resolve.resolve(home)
    merged = now(home)
    assert merged["household:7"] == merged["user:B"] == merged["anonymous:b"]
    assert not {"contact:1", "contact:2"} & merged.keys()  # each stands for itself
    decisions.unmerge(at(home, 33), "household:7", "user:B", by="ann")
    resolve.resolve(home)
    assert now(home) == before
    rows = pq.read_table(resolve.current(home)["identity_keys"]).to_pylist()
    told = sorted((row["known_at"], row["known_to"]) for row in rows if row["source_key"] == "household:7")
    assert all(until == since for (_, until), (since, _) in itertools.pairwise(told)), told
    assert told[-1][1] is None


def test_a_households_key_that_stands_for_a_person_is_not_merged_in_their_place(home: Settings) -> None:
    land(home, "b", [Met(NOON, "household:7", (), "pos"), Met(NOON, "contact:1", ("household:7",), "crm")])
    resolve.resolve(home)
    with pytest.raises(UsageError, match=r"stands for contact:1: .* Merge contact:1 instead"):
        decisions.merge(home, "household:7", "user:B", by="ann")


def test_what_cannot_be_decided_is_said(home: Settings) -> None:
    with pytest.raises(UsageError, match="one customer already"):
        decisions.merge(home, "user:A", "anonymous:a", by="ann")
    with pytest.raises(UsageError, match="not one customer"):
        decisions.unmerge(home, "user:A", "user:B", by="ann")
    with pytest.raises(UsageError, match="Nothing is known under the key 'user:nobody'"):
        decisions.merge(home, "user:A", "user:nobody", by="ann")
    assert Manifest.read(home, "identity_decisions").entries == ()


@st.composite
def acts(draw: st.DrawFn) -> list[tuple[str, str]]:
    people = ("user:A", "user:B", "user:C")
    pairs = draw(st.lists(st.sampled_from([(0, 1), (0, 2), (1, 2)]), min_size=1, max_size=3, unique=True))
    return [(people[one], people[other]) for one, other in pairs]


@examples(max_examples=8)
@given(acts(), st.randoms(use_true_random=False))
def test_any_merges_undone_in_any_order_leave_nothing(tmp_path_factory, pairs, random) -> None:  # type: ignore[no-untyped-def]
    settings = Settings(
        home=tmp_path_factory.mktemp("acts") / "home", now=NOON + timedelta(days=30), threads=1
    )
    land(settings, "a", [Met(NOON, f"user:{name}", (f"anonymous:{name}",)) for name in "ABC"])
    resolve.resolve(settings)
    before = now(settings)
    merged = []
    for one, other in pairs:
        try:
            decisions.merge(settings, one, other, by="ann")
        except UsageError:
            continue  # the third of a triangle: they are one already
        merged.append((one, other))
        resolve.resolve(settings)
    assert len(set(now(settings).values())) == 3 - len(merged)
    random.shuffle(merged)
    for one, other in merged:
        decisions.unmerge(settings, one, other, by="ann")
        resolve.resolve(settings)
    assert now(settings) == before


@pytest.mark.prove
def test_the_genome_after_a_merge_and_its_undoing_is_the_same_to_the_byte(tmp_path: Path) -> None:
    # One thread: an engine that adds up in any order differs in the last digit between two equal builds.
    world = built.copy_of(built.build_once(tmp_path.parent), tmp_path / "home")
    settings = world.model_copy(update={"threads": 1})
    tables = ("dim_customers", "feat_customer_genome", "feat_customer_traits", "fct_customer_genes")

    def rebuild() -> dict[str, list[str]]:
        resolve.resolve(settings)
        warehouse.write_inputs(settings)
        warehouse.dbt(settings, "run", select="dim_customers+", exclude="tag:scores tag:evaluation")
        with duckdb.connect(str(settings.warehouse), read_only=True) as con:
            return {name: sorted(map(repr, con.table(name).fetchall())) for name in tables}

    before = rebuild()
    one, other = sorted(row.split("'")[1] for row in before["dim_customers"])[:2]
    decisions.merge(settings, one, other, by="ann")
    merged = rebuild()
    assert {name for name in tables if merged[name] == before[name]} == set()
    decisions.unmerge(settings, one, other, by="ann")
    assert rebuild() == before
