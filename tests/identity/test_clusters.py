"""Beliefs at every known time, against sets and networkx."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.identities import Pair, believed, facts_of

from genome.identity import clusters, resolve
from genome.identity.facts import FOREVER

KEYS = {
    "contact": ("contact:1", "contact:2", "contact:3"),
    "user": ("user:1", "user:2", "user:3"),
    "loyalty_card": ("loyalty_card:1", "loyalty_card:2"),
    "email": ("email:1", "email:2"),
    "anonymous": ("anonymous:1", "anonymous:2", "anonymous:3"),
    "payment_token": ("payment_token:1", "payment_token:2"),
    "device": ("device:1", "device:2"),
}
KINDS = (
    ("contact", "user"),
    ("contact", "loyalty_card"),
    ("contact", "email"),
    ("user", "email"),
    ("loyalty_card", "email"),
    ("user", "anonymous"),
    ("email", "anonymous"),
    ("user", "device"),
    ("loyalty_card", "payment_token"),
    ("user", "payment_token"),
)


@st.composite
def pairs_met(draw: st.DrawFn) -> list[Pair]:
    found: dict[tuple[str, str, bool], Pair] = {}
    for _ in range(draw(st.integers(1, 14))):
        owner_kind, other_kind = draw(st.sampled_from(KINDS))
        owner, other = draw(st.sampled_from(KEYS[owner_kind])), draw(st.sampled_from(KEYS[other_kind]))
        first = draw(st.integers(0, 12))
        is_typed = other_kind == "email" and draw(st.booleans())
        again = draw(st.sampled_from([FOREVER, first + 1, first + 4])) if is_typed else FOREVER
        found.setdefault((owner, other, is_typed), Pair(owner, other, first, again, is_typed))
    return list(found.values())


def own_times(pairs: list[Pair]) -> dict[str, int]:
    """An event's customer key is known with it: here each pair's owner is."""
    known: dict[str, int] = {}
    for pair in pairs:
        known[pair.owner] = min(known.get(pair.owner, FOREVER), pair.first)
        if pair.first % 3 == 0:  # some things came by themselves before
            known[pair.other] = min(known.get(pair.other, FOREVER), pair.first // 2)
    return known


def beliefs_at(beliefs: clusters.Beliefs, keys: list[str], at: int) -> dict[str, str]:
    return {
        keys[key]: keys[customer]
        for key, customer, begin, end in zip(
            beliefs.key, beliefs.customer, beliefs.known_from, beliefs.known_to, strict=True
        )
        if begin <= at < end
    }


@settings(max_examples=300)
@given(pairs_met())
def test_every_past_belief_is_what_the_rules_say_of_what_was_known_then(pairs: list[Pair]) -> None:
    known = own_times(pairs)
    given_facts, keys = facts_of(pairs, known)
    persons, _, _ = resolve.persons(given_facts, *resolve.nothing_decided())
    for at in range(18):
        wanted = believed(pairs, known, at)
        # A thing that was set free again, and never came by itself, is nobody's key.
        wanted = {key: who for key, who in wanted.items() if who != key or known.get(key, FOREVER) <= at}
        found = beliefs_at(persons, keys, at)
        alone = {key: key for key in found if key not in wanted and known.get(key, FOREVER) <= at}
        assert found == wanted | alone
        # Nothing that was known is without a customer, once it has ever been linked.
        ever = {keys[key] for key in persons.key}
        assert {key for key in ever if known.get(key, FOREVER) <= at} <= set(found)


@settings(max_examples=100)
@given(pairs_met(), st.integers(0, 12))
def test_what_becomes_known_later_changes_no_past_belief(pairs: list[Pair], at: int) -> None:
    known = own_times(pairs)
    past = [pair for pair in pairs if pair.first <= at]
    if not past:
        return
    known_then = {key: time for key, time in known.items() if time <= at}
    full, keys = facts_of(pairs, known)
    then, keys_then = facts_of(
        [Pair(p.owner, p.other, p.first, p.again if p.again <= at else FOREVER, p.is_typed) for p in past],
        known_then,
    )
    told = beliefs_at(resolve.persons(full, *resolve.nothing_decided())[0], keys, at)
    believed_then = beliefs_at(resolve.persons(then, *resolve.nothing_decided())[0], keys_then, at)
    linked = {key for key in told if told[key] != key} | {
        key for key in believed_then if believed_then[key] != key
    }
    assert {key: told.get(key) for key in linked} == {key: believed_then.get(key) for key in linked}


def test_groups_in_many_chunks_give_what_one_chunk_gives() -> None:
    pairs = [
        Pair(f"user:{number}", f"anonymous:{number}-{each}", number % 5 + each)
        for number in range(40)
        for each in range(3)
    ]
    given_facts, _ = facts_of(pairs, own_times(pairs))
    whole, _, _ = resolve.persons(given_facts, *resolve.nothing_decided())
    before, clusters.LAID_OUT = clusters.LAID_OUT, 25
    try:
        chunked, _, _ = resolve.persons(given_facts, *resolve.nothing_decided())
    finally:
        clusters.LAID_OUT = before
    assert len(whole.key) > 100
    for name in ("key", "customer", "known_from", "known_to"):
        assert (getattr(whole, name) == getattr(chunked, name)).all()
