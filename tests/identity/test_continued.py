"""A run that continues the one before leaves what a run from nothing leaves."""

import contextlib
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from support.identities import Met, land

from genome.identity import components, decisions, kept, likeness, matches, resolve
from genome.identity.facts import Sources
from genome.identity.rules import LINKS
from genome.lake import files, layout, maintain
from genome.lake.manifest import Compaction, Manifest, commit_compaction
from genome.settings import Settings

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def day(number: int) -> datetime:
    return DAY + timedelta(days=number)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "home")


def settings_at(folder: Path) -> Settings:
    return Settings(home=folder, now=day(60), threads=1, lake_compact_files=2)


def pointer(settings: Settings) -> Path:
    return kept.folder(settings) / "current.json"


def same_from_nothing(settings: Settings, done: resolve.Resolved) -> None:
    """Resolve again from nothing, hold it against what there is, and let the next run continue what there was."""
    continued, before = resolve.current(settings), pointer(settings).read_bytes()
    whole = resolve.resolve(settings, force=True)
    assert whole.anew == "it was asked for"
    for name, path in resolve.current(settings).items():
        assert pq.read_table(path).to_pylist() == pq.read_table(continued[name]).to_pylist(), name
    assert resolve.digest(settings) == files.read_json(pointer(settings))["digest"]
    pointer(settings).write_bytes(before)
    told = {"anew": "", "seconds": 0, "again": 0, "batches": 0}
    assert replace(whole, **told) == replace(done, **told)


# Random lakes ------------------------------------------------------------------------------------------

KINDS = (
    *("contact", "user", "user", "loyalty_card", "email", "phone", "anonymous", "payment_token"),
    *("device", "device", "wifi", "household", "receipt"),
)
OTHERS = {
    kind: sorted(
        {rule.other for rule in LINKS if rule.owner == kind}
        | {rule.owner for rule in LINKS if rule.other == kind}
    )
    for kind in KINDS
}
PERSONS = range(6)


@dataclass(frozen=True)
class Step:
    """What comes between two runs: a delivery, what persons decide, what Splink and a rotation say, maintenance."""

    rows: tuple[Met, ...]
    decided: tuple[tuple[bool, str, str], ...]
    alike: tuple[tuple[str, str, float], ...]
    equal: tuple[tuple[str, str], ...]
    compacts: bool


def key(draw: random.Random, kind: str, person: int) -> str:
    """One of a person's own keys, mostly; some have more of a kind than a person may have."""
    whose = person if draw.random() < 0.9 else draw.choice(PERSONS)
    return f"{kind}:{whose}-{draw.choice((0, 0, 0, draw.randrange(6)))}"


def met(draw: random.Random) -> Met:
    person, kind = draw.choice(PERSONS), draw.choice(KINDS)
    count = draw.choice((0, 0, 1, 1, 2, 5)) if OTHERS[kind] else 0
    others = [key(draw, draw.choice(OTHERS[kind]), person) for _ in range(count)]
    if (
        kind == "device" and draw.random() < 0.4
    ):  # with a third delivery of these it has more than a person has
        others += [f"wifi:{person}-{number}" for number in draw.sample(range(6), 3)]
    channel = draw.choice(("web", "web", "pos", "crm", "service", "survey"))
    at = draw.randrange(12)
    own = key(draw, kind, person)
    return Met(
        day(at), own, tuple(dict.fromkeys(others)), channel, received_at=day(at + draw.choice((0, 0, 3)))
    )


def steps(seed: int) -> list[Step]:
    """A little lake in a few deliveries. Of what was met before much is met again, at another time."""
    draw = random.Random(seed)
    found: list[Step] = []
    rows: list[Met] = []
    for _ in range(draw.randint(2, 4)):
        fresh = [met(draw) for _ in range(draw.choice((1, 4, 25)))]
        for row in draw.sample(rows, min(len(rows), draw.choice((0, 2, 8)))):
            at = day(draw.randrange(-2, 12))
            fresh.append(
                replace(row, at=at, received_at=at, others=row.others if draw.random() < 0.6 else ())
            )
        rows += fresh
        every = sorted({name for row in rows for name in (row.key, *row.others)})
        contacts = [f"contact:{person}-0" for person in PERSONS]
        turned = [tuple(sorted(draw.sample([f"email:{person}-0" for person in PERSONS], 2)))]
        alike = {tuple(sorted(draw.sample(contacts, 2))): draw.choice((8.5, 11.0, 14.0)) for _ in range(2)}
        found.append(
            Step(
                rows=tuple(fresh),
                decided=tuple(
                    (draw.random() < 0.6, *draw.sample(every, 2))
                    for _ in range(draw.choice((0, 0, 1, 2)))
                    if len(every) > 1
                ),
                alike=tuple((*pair, weight) for pair, weight in sorted(alike.items()))[: draw.randrange(3)],
                equal=tuple(turned[: draw.randrange(2)]),
                compacts=draw.random() < 0.3,
            )
        )
    return found


@contextlib.contextmanager
def said(step: Step) -> Iterator[None]:
    """Let Splink and the vault say what the step says."""
    with pytest.MonkeyPatch.context() as patch:
        ones, others, weights = zip(*step.alike, strict=True) if step.alike else ((), (), ())
        told = likeness.Likeness(list(ones), list(others), list(weights))
        patch.setattr(matches.likeness, "contacts", lambda *_: told)
        patch.setattr(resolve, "_equal_keys", lambda _: list(step.equal))
        yield


def continued_like_from_nothing(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(components, "SLICE", (5, 1_000_000)[seed % 2])
        settings = settings_at(Path(folder) / "home")
        for number, step in enumerate(steps(seed)):
            now = settings.model_copy(update={"now": day(20 + number)})
            land(now, f"batch{number}", step.rows)
            for is_merge, one, other in step.decided:
                decisions._write(now, is_merge, one, other, "ann", "")
            if step.compacts:
                maintain.maintain(now)
            with said(step):
                done = resolve.resolve(now)
                assert done.anew == ("" if number else "nothing was resolved before")
                same_from_nothing(now, done)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_in_whatever_order_a_day_gives_what_everything_gives(seed: int) -> None:
    continued_like_from_nothing(seed)


@pytest.mark.prove
@examples(max_examples=300, deadline=None)
@given(st.integers(1_000, 2**31))
def test_so_do_three_hundred_lakes(seed: int) -> None:
    continued_like_from_nothing(seed)


# What is read, and what is resolved again --------------------------------------------------------------

ANN = Met(day(0), "user:ann", ("anonymous:a", "device:a"))
BOB = Met(day(0), "user:bob", ("anonymous:b",))


def links(settings: Settings) -> dict[tuple[str, str], int]:
    rows = pq.read_table(resolve.current(settings)["identity_links"]).to_pylist()
    return {(row["owner_key"], row["other_key"]): row["sighting_count"] for row in rows}


def customers(settings: Settings) -> dict[str, str]:
    rows = pq.read_table(resolve.current(settings)["identity_keys"]).to_pylist()
    return {row["source_key"]: row["customer_id"] for row in rows if row["known_to"] is None}


def test_only_what_a_new_pair_touches_is_resolved_again(home: Settings) -> None:
    land(home, "a", [ANN, BOB])
    assert resolve.resolve(home).again == 5
    land(home, "b", [Met(day(3), "user:bob", ("anonymous:b2",))])
    done = resolve.resolve(home)
    assert (done.anew, done.batches, done.again) == ("", 1, 3)
    assert (done.keys, done.links, done.customers) == (6, 4, 2)
    same_from_nothing(home, done)


def test_a_pair_that_is_met_again_is_counted_and_touches_nothing(home: Settings) -> None:
    land(home, "a", [ANN, BOB])
    resolve.resolve(home)
    for number, batch in enumerate(("b", "c")):
        land(home, batch, [Met(day(3 + number), "user:ann", ("anonymous:a",))])
        done = resolve.resolve(home)
        assert (done.anew, done.again) == ("", 0)
        assert links(home)["user:ann", "anonymous:a"] == 2 + number
        assert links(home)["user:ann", "device:a"] == links(home)["user:bob", "anonymous:b"] == 1
        same_from_nothing(home, done)


def test_a_key_that_came_alone_brings_its_first_instant_when_it_is_linked(home: Settings) -> None:
    land(home, "a", [Met(day(1), "anonymous:a"), BOB])
    assert resolve.resolve(home).again == 2
    land(home, "b", [Met(day(3), "user:ann", ("anonymous:a",))])
    done = resolve.resolve(home)
    assert done.again == 2
    assert customers(home)["user:ann"] == "anonymous:a"
    same_from_nothing(home, done)


def test_of_a_compacted_file_only_rows_of_new_batches_are_read(home: Settings) -> None:
    land(home, "a", [ANN])
    resolve.resolve(home)
    land(home, "b", [Met(day(1), "user:ann", ("anonymous:a",))])
    assert maintain.maintain(home).compacted == 4
    done = resolve.resolve(home)
    assert (done.anew, done.batches) == ("", 1)
    assert links(home)["user:ann", "anonymous:a"] == 2
    same_from_nothing(home, done)


def test_a_receipt_counts_from_its_own_time_when_a_person_says_whose_it_is(home: Settings) -> None:
    land(home, "a", [ANN, Met(day(2), "receipt:1", (), "pos")])
    resolve.resolve(home)
    land(home, "b", [Met(day(1), "receipt:1", (), "pos")])
    resolve.resolve(home)
    decisions._write(home, True, "user:ann", "receipt:1", "ann", "")
    resolve.resolve(home)
    assert customers(home)["receipt:1"] == "user:ann"
    rows = pq.read_table(resolve.current(home)["identity_keys"]).to_pylist()
    assert {row["valid_from"] for row in rows if row["source_key"] == "receipt:1"} == {day(1)}
    # From then on what is new of it is added, as of other keys.
    land(home, "c", [Met(day(0) - timedelta(days=3), "receipt:1", (), "pos")])
    done = resolve.resolve(home)
    assert (done.anew, customers(home)["user:ann"]) == ("", "receipt:1")
    same_from_nothing(home, done)


# When it begins anew by itself -------------------------------------------------------------------------


def begins_anew(settings: Settings, why: str) -> None:
    land(settings, "later", [Met(day(5), "user:ann", ("anonymous:later",))])
    done = resolve.resolve(settings)
    assert done.anew == why
    assert done.summary()["anew"] == why
    same_from_nothing(settings, done)
    land(settings, "last", [Met(day(6), "user:ann", ("anonymous:last",))])
    assert resolve.resolve(settings).anew == ""


@pytest.fixture
def resolved(home: Settings) -> Settings:
    land(home, "a", [ANN])
    land(home, "b", [BOB])
    resolve.resolve(home)
    return home


def test_it_begins_anew_where_rows_have_left_the_lake(resolved: Settings) -> None:
    for kind, relative in ((layout.INTERACTIONS, "interactions"), (layout.IDENTIFIERS, "identifiers")):
        path = f"{relative}/channel=web/month=2026-03/b-web.parquet"
        gone = Compaction(f"retired-{kind}", "web", kind, (), {path: day(9).isoformat()})
        commit_compaction(resolved, layout.INTERACTIONS, gone)
    begins_anew(resolved, "rows have left the lake")
    assert "user:bob" not in customers(resolved)


def test_it_begins_anew_where_a_batch_has_other_rows_under_its_name(resolved: Settings) -> None:
    land(resolved, "b", [BOB, Met(day(1), "user:bob", ("anonymous:a",))])
    begins_anew(resolved, "batches have other rows than when they were read")


def test_it_begins_anew_where_a_decision_is_gone(resolved: Settings) -> None:
    decisions.merge(resolved, "user:ann", "user:bob", by="ann")
    resolve.resolve(resolved)
    [entry] = Manifest.read(resolved, layout.DECISIONS).entries
    (layout.manifest_folder(resolved, layout.DECISIONS) / f"{entry.batch_id}.json").unlink()
    begins_anew(resolved, "decisions have gone")


@pytest.mark.parametrize("name", ["keys", "pairs", "batches", "likeness", "identity_keys", "identity_links"])
def test_it_begins_anew_where_a_kept_file_is_missing_or_damaged(resolved: Settings, name: str) -> None:
    path = resolve.current(resolved)["identity_keys"].with_name(f"{name}.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    damaged, reason = kept.last(resolved, Sources.of(resolved))
    assert (damaged, reason) == (kept.Kept(), f"{name}.parquet of the last resolution is damaged")
    path.unlink()
    begins_anew(resolved, f"{name}.parquet of the last resolution is missing")


def test_it_begins_anew_where_the_code_is_another(
    resolved: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_VERSION", "another")
    begins_anew(resolved, "the rules, or the code, have changed")


def test_it_begins_anew_after_a_version_that_kept_nothing(resolved: Settings) -> None:
    told = files.read_json(pointer(resolved))
    files.write_json(pointer(resolved), {name: each for name, each in told.items() if name != "kept"})
    begins_anew(resolved, "the rules, or the code, have changed")


def test_a_run_that_dies_leaves_what_was_and_the_next_one_continues_it(
    resolved: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pointer(resolved).read_bytes()
    land(resolved, "c", [Met(day(3), "user:bob", ("anonymous:c",))])

    def full(con: object, where: Path, name: str, query: str) -> str:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(kept, "write", full)
        with pytest.raises(OSError, match="no space"):
            resolve.resolve(resolved)
    assert pointer(resolved).read_bytes() == before
    done = resolve.resolve(resolved)
    assert (done.anew, done.again) == ("", 3)
    same_from_nothing(resolved, done)
