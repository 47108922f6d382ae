"""The state machine against its definition: whatever the order, the same moments, each once."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genome.rules.matcher import Happened, Match, Matcher, State
from genome.rules.rules import MomentRule, moments

SECOND = 1_000_000
MINUTE = 60 * SECOND


def rule(tmp_path: Path, on: str, more: str = "") -> MomentRule:
    path = tmp_path / "rule.toml"
    path.write_text(f'[[rule]]\nid = "r"\nabout = "a"\non = {on}\n{more}')
    (found,) = moments(path)
    return found


def happened(name: str, at: int, identity: str | None = None, **properties: object) -> Happened:
    return Happened(
        identity or f"{name}@{at}",
        name,
        at,
        at,
        "user:1",
        {"event": {"name": name}, "property": properties},
        {"of": f"{name}@{at}"},
    )


class Run:
    """What a caller does: keeps states and timers, in the form in which a store keeps them."""

    def __init__(self, *rules: MomentRule) -> None:
        self.matcher = Matcher(rules)
        self.states: dict[str, bytes] = {}
        self.timers: dict[str, int] = {}
        self.made: list[Match] = []

    def feed(self, *events: Happened) -> "Run":
        for event in events:
            states = {
                key: msgspec.msgpack.decode(self.states[key], type=State)
                for key in self.matcher.keys(event)
                if key in self.states
            }
            for outcome in self.matcher.feed(event, states):
                self._keep(outcome)
        return self

    def until(self, now: int) -> "Run":
        while due := sorted((at, key) for key, at in self.timers.items() if at <= now):
            key = due[0][1]
            del self.timers[key]
            if key in self.states:
                outcome = self.matcher.due(key, msgspec.msgpack.decode(self.states[key], type=State), now)
                if outcome is not None:
                    self._keep(outcome)
        return self

    def _keep(self, outcome: object) -> None:
        self.made += outcome.matches  # type: ignore[attr-defined]
        key, state, again = outcome.key, outcome.state, outcome.look_again  # type: ignore[attr-defined]
        if state is None:
            self.states.pop(key, None)
        else:
            self.states[key] = msgspec.msgpack.encode(state)
        if again is None:
            self.timers.pop(key, None)
        else:
            self.timers[key] = again


ABSENT = '{ after = { event = "Added" }, absent = { event = "Bought" }, within = "30 minutes" }'
ORDER = '{ sequence = [{ event = "A" }, { event = "B" }, { event = "C" }], within = "10 minutes" }'
COUNT = '{ count = 3, of = { event = "A" }, within = "10 minutes" }'


def test_a_wait_that_nothing_ends_makes_one_moment_at_its_end(tmp_path: Path) -> None:
    run = Run(rule(tmp_path, ABSENT)).feed(happened("Added", MINUTE), happened("Added", 9 * MINUTE))
    assert run.until(38 * MINUTE).made == []
    (made,) = run.until(39 * MINUTE).made
    assert (made.at, made.details, made.rule) == (39 * MINUTE, {"of": f"Added@{9 * MINUTE}"}, "r")
    assert len(run.until(400 * MINUTE).made) == 1
    assert run.states == {}
    assert run.timers == {}


def test_a_purchase_ends_the_wait_also_when_it_is_delivered_first(tmp_path: Path) -> None:
    both = [happened("Added", MINUTE), happened("Bought", 5 * MINUTE)]
    for events in (both, both[::-1]):
        assert Run(rule(tmp_path, ABSENT)).feed(*events).until(400 * MINUTE).made == []


def test_a_purchase_before_the_last_addition_ends_nothing(tmp_path: Path) -> None:
    run = Run(rule(tmp_path, ABSENT)).feed(happened("Bought", 5 * MINUTE), happened("Added", 6 * MINUTE))
    assert len(run.until(400 * MINUTE).made) == 1


def test_subjects_are_told_apart_by_what_the_rule_names(tmp_path: Path) -> None:
    found = rule(tmp_path, '{ count = 2, of = { event = "A" }, within = "1 hour" }', 'per = ["product_id"]')
    run = Run(found).feed(
        happened("A", 1, product_id="p"), happened("A", 2, product_id="q"), happened("A", 3, product_id="p")
    )
    assert [made.details["of"] for made in run.made] == ["A@3"]


def test_an_event_from_long_ago_makes_no_moment(tmp_path: Path) -> None:
    event = happened("A", MINUTE)
    old = Happened(event.id, event.name, event.at, event.at + 61 * MINUTE, event.subject, event.facts, {})
    once = rule(tmp_path, '{ event = "A" }')
    assert Run(once).feed(old).made == []
    assert len(Run(once).feed(event).made) == 1


def test_a_condition_on_the_event_is_asked(tmp_path: Path) -> None:
    once = rule(tmp_path, '{ event = "A", where = { property = "seconds", is = ">=", value = 300 } }')
    run = Run(once).feed(happened("A", 1, seconds=299), happened("A", 2, seconds="300"), happened("A", 3))
    assert [made.at for made in run.made] == [2]


EVENTS = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 40)), max_size=14, unique=True)


@settings(max_examples=100)
@given(EVENTS, st.randoms(use_true_random=False))
def test_sequences_are_found_in_any_order_of_delivery(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, int]], random: object
) -> None:
    found = rule(tmp_path_factory.mktemp("rule"), ORDER)
    events = [happened(name, minute * MINUTE) for name, minute in drawn]
    expected = set()
    for c in (each for each in events if each.name == "C"):
        for b in (each for each in events if each.name == "B" and (each.at, each.id) < (c.at, c.id)):
            for a in (each for each in events if each.name == "A" and (each.at, each.id) < (b.at, b.id)):
                if c.at - a.at <= 10 * MINUTE:
                    expected.add(c.at)
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    run = Run(found).feed(*shuffled, *shuffled[:3])
    assert sorted(made.at for made in run.made) == sorted(expected)
    assert len({made.id for made in run.made}) == len(run.made)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from(["Added", "Bought"]), st.integers(1, 200)), max_size=12, unique=True),
    st.randoms(use_true_random=False),
)
def test_absence_is_what_the_newest_addition_says_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, int]], random: object
) -> None:
    found = rule(tmp_path_factory.mktemp("rule"), ABSENT)
    events = [happened(name, minute * MINUTE) for name, minute in drawn]
    added = max((each.at for each in events if each.name == "Added"), default=0)
    bought = max((each.at for each in events if each.name == "Bought"), default=0)
    random.shuffle(events)  # type: ignore[attr-defined]
    made = Run(found).feed(*events).until(1_000 * MINUTE).made
    assert [each.at for each in made] == ([added + 30 * MINUTE] if added and bought < added else [])


def test_a_count_begins_anew_when_its_time_has_passed(tmp_path: Path) -> None:
    run = Run(rule(tmp_path, COUNT))
    run.feed(*(happened("A", minute * MINUTE) for minute in (0, 1, 2, 3, 4, 30, 31, 32)))
    assert [made.at // MINUTE for made in run.made] == [2, 32]
    assert run.until(1_000 * MINUTE).states == {}
