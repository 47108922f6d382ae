"""Texts in the identity vault: sealed, found by interaction and by customer, kept once, forgotten with their person."""

import sqlite3
from datetime import UTC, datetime

import pytest

from genome.errors import GenomeError, UsageError
from genome.identity.texts import Text, Texts
from genome.identity.tokens import Tokeniser, rotate
from genome.identity.vault import Vault
from genome.settings import Settings
from genome.vocabulary import LONGEST

NOON = 1_767_268_800_000_000
MINUTE = 60_000_000


def text(
    interaction_id: str, words: str = "The canary is too dear", *, key: str = "user:u1", at: int = NOON
) -> Text:
    key_type, _, of = key.partition(":")
    return Text(interaction_id, key_type, of, "survey", "Survey Answered", at, at + MINUTE, words, "price")


@pytest.fixture
def vault(settings: Settings):
    vault = Vault(settings)
    yield vault
    vault.close()


def test_a_text_lies_sealed_and_is_found_by_interaction_and_by_customer(
    vault: Vault, settings: Settings
) -> None:
    texts = Texts(vault)
    assert texts.put([text("a"), text("b", key="user:u2"), text("c", at=NOON + 1)], vocabulary="v1") == 3
    found = texts.find(["a", "nowhere"], reader="vocabulary")
    assert list(found) == ["a"]
    assert (found["a"].text, found["a"].source_key, found["a"].channel) == (
        "The canary is too dear",
        "user:u1",
        "survey",
    )
    assert (found["a"].interaction_type, found["a"].motives, found["a"].vocabulary) == (
        "Survey Answered",
        "price",
        "v1",
    )
    assert found["a"].occurred_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert found["a"].received_at == datetime(2026, 1, 1, 12, 1, tzinfo=UTC)
    assert [each.interaction_id for each in texts.of(["user:u1"], reader="service")] == ["c", "a"]
    assert texts.of(["email:u1"], reader="service") == []
    vault.close()
    files = [path for path in settings.identity_vault.parent.iterdir() if path.is_file()]
    assert files
    assert [path.name for path in files if b"canary" in path.read_bytes()] == []


def test_only_named_readers_may_read_texts(vault: Vault) -> None:
    texts = Texts(vault)
    for read in (
        lambda: texts.of(["user:u1"], reader="curious"),  # type: ignore[arg-type]
        lambda: texts.find(["a"], reader="curious"),  # type: ignore[arg-type]
        lambda: texts.next_unread("v1", reader="curious"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match="'curious' may not read"):
            read()


def test_the_first_text_of_an_interaction_stays(vault: Vault) -> None:
    texts = Texts(vault)
    assert texts.put([text("a", "first"), text("a", "second")], vocabulary="v1") == 1
    assert texts.put([text("a", "third"), text("b", "  \n ")], vocabulary="v2") == 0
    assert texts.find(["a", "b"], reader="vocabulary")["a"].text == "first"
    assert texts.count() == 1


def test_a_long_text_is_kept_as_far_as_it_is_read_and_no_card_lies_in_it(vault: Vault) -> None:
    texts = Texts(vault)
    words = "My card 4111 1111 1111 1111 was charged, order 4111111111111112! " + "é" * LONGEST
    texts.put([text("a", words)], vocabulary="v1")
    kept = texts.find(["a"], reader="service")["a"].text
    assert kept.startswith("My card 0000 0000 0000 0000 was charged, order 4111111111111112! ééé")
    assert len(kept) == LONGEST


def test_thousands_of_texts_are_put_and_read_anew_in_pages(vault: Vault) -> None:
    texts = Texts(vault)
    assert texts.put((text(f"{number:05}") for number in range(12_001)), vocabulary="v1") == 12_001
    assert (texts.unread("v1"), texts.unread("v2")) == (0, 12_001)
    seen = []
    while page := texts.next_unread("v2", reader="vocabulary"):
        seen.append(len(page))
        texts.note([(each.interaction_id, "ethics") for each in page], vocabulary="v2")
    assert seen == [5_000, 5_000, 2_001]
    assert texts.unread("v2") == 0
    pages = list(texts.corrected(["survey", "web"]))
    assert [len(page) for page in pages] == [5_000, 5_000, 2_001]
    assert [pages[0][0], pages[-1][-1]] == [("00000", "ethics"), ("12000", "ethics")]
    texts.note([("00000", "price")], vocabulary="v2")
    assert next(texts.corrected(["survey", "web"]))[0] == ("00001", "ethics")
    assert list(texts.corrected(["web"])) == []


def test_a_text_moved_to_another_person_or_interaction_does_not_open(
    vault: Vault, settings: Settings
) -> None:
    texts = Texts(vault)
    texts.put([text("a"), text("b", key="user:u2")], vocabulary="v1")
    connection = sqlite3.connect(settings.identity_vault)
    connection.execute("UPDATE texts SET key = 'u2' WHERE interaction_id = 'a'")
    connection.execute(
        "UPDATE texts SET sealed = (SELECT sealed FROM texts WHERE interaction_id = 'a') WHERE interaction_id = 'b'"
    )
    connection.commit()
    connection.close()
    for moved in ("a", "b"):
        with pytest.raises(GenomeError, match="do not open") as error:
            texts.find([moved], reader="service")
        assert "canary" not in str(error.value)


def test_texts_follow_their_person_through_a_rotation_of_the_keys(vault: Vault, settings: Settings) -> None:
    texts = Texts(vault)
    old = Tokeniser(settings).token("email", "ann@example.com")
    vault.put([old])
    texts.put([text("a", key=f"email:{old.text}")], vocabulary="v1")
    rotate(settings)
    vault.retoken()
    new = Tokeniser(settings).token("email", "ann@example.com")
    texts.put([text("b", key=f"email:{new.text}", at=NOON + 1)], vocabulary="v1")
    assert new.text != old.text
    for token in (old, new):
        found = texts.of([f"email:{token.text}"], reader="service")
        assert [each.interaction_id for each in found] == ["b", "a"]
    assert texts.forget([f"email:{new.text}"]) == 2
    assert texts.count() == 0


def test_who_is_forgotten_takes_all_texts_along(vault: Vault, settings: Settings) -> None:
    texts = Texts(vault)
    ann, bob = (Tokeniser(settings).token("email", f"{name}@example.com") for name in ("ann", "bob"))
    vault.put([ann, bob])
    rotate(settings)
    vault.retoken()
    again = Tokeniser(settings).token("email", "ann@example.com")
    texts.put(
        [
            text("a", key=f"email:{ann.text}"),
            text("b", key=f"social:{again.text}"),
            text("c", key=f"email:{bob.text}"),
            text("d", key="user:u1"),
        ],
        vocabulary="v1",
    )
    assert vault.forget([again.text]) == 1
    assert set(texts.find("abcd", reader="privacy")) == {"c", "d"}
    assert texts.forget(["user:u1", "user:nobody"]) == 1
    assert set(texts.find("abcd", reader="privacy")) == {"c"}


def test_texts_leave_when_their_time_is_over(vault: Vault) -> None:
    texts = Texts(vault)
    texts.put([text("a"), text("b", at=NOON - 1)], vocabulary="v1")
    assert texts.forget_before(datetime(2026, 1, 1, 12, tzinfo=UTC)) == 1
    assert set(texts.find("ab", reader="privacy")) == {"a"}
