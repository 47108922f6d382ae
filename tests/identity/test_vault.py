"""The identity vault: raw values encrypted, in a file of its own, for named readers only."""

import concurrent.futures
import sqlite3

import pytest

from genome.errors import GenomeError, UsageError
from genome.identity.tokens import Token, Tokeniser, rotate
from genome.identity.vault import Vault
from genome.settings import Settings


def test_a_value_comes_back_to_a_reader_and_lies_encrypted(settings: Settings) -> None:
    vault = Vault(settings)
    token = Tokeniser(settings).token("email", "canary@example.com")
    assert vault.put([token, token]) == 1
    assert vault.put([token]) == 0
    assert vault.reveal([token.text, "email_1_unknown"], reader="delivery") == {
        token.text: "canary@example.com"
    }
    vault.close()
    files = [path for path in settings.identity_vault.parent.iterdir() if path.is_file()]
    assert files
    assert all(b"canary" not in path.read_bytes() for path in files)
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_only_named_readers_may_read(settings: Settings) -> None:
    vault = Vault(settings)
    with pytest.raises(UsageError, match="'curious' may not read"):
        vault.reveal([], reader="curious")  # type: ignore[arg-type]
    vault.close()


def test_cards_are_never_kept(settings: Settings) -> None:
    vault = Vault(settings)
    card = Tokeniser(settings).token("card", "4111 1111 1111 1111")
    assert vault.lacks([card]) == []
    assert vault.put([card]) == 0
    assert vault.reveal([card.text], reader="privacy") == {}
    vault.close()


def test_a_value_moved_to_another_row_does_not_open(settings: Settings) -> None:
    vault = Vault(settings)
    made = [Tokeniser(settings).token("email", f"{name}@example.com") for name in ("a", "b")]
    vault.put(made)
    vault.close()
    connection = sqlite3.connect(settings.identity_vault)
    connection.execute(
        "UPDATE identifiers SET sealed = (SELECT sealed FROM identifiers WHERE token = ?) WHERE token = ?",
        (made[0].text, made[1].text),
    )
    connection.commit()
    connection.close()
    with pytest.raises(GenomeError, match="do not open"):
        vault.reveal([made[1].text], reader="identity")
    vault.close()


def test_what_is_forgotten_is_gone_with_all_its_tokens(settings: Settings) -> None:
    vault = Vault(settings)
    made = [Tokeniser(settings).token("email", f"{name}@example.com") for name in ("a", "b")]
    vault.put(made)
    assert vault.lacks(made) == []
    assert vault.forget([made[0].text]) == 1
    assert vault.reveal([each.text for each in made], reader="identity") == {made[1].text: "b@example.com"}
    assert vault.lacks(made) == [made[0]]  # it may come back when the person does
    vault.close()


def test_many_writers_at_once_lose_nothing(settings: Settings) -> None:
    vaults = [Vault(settings) for _ in range(4)]

    def put(number: int) -> int:
        return vaults[number % 4].put(
            [Token("email", f"email_1_{n}", 1, f"{n}@example.com") for n in range(number, number + 50)]
        )

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        new = sum(pool.map(put, range(0, 200, 10)))
    assert new == vaults[0].count() == 240
    for vault in vaults:
        vault.close()


def test_a_whole_kind_is_revealed_with_the_tokens_of_every_key(settings: Settings) -> None:
    vault = Vault(settings)
    old = Tokeniser(settings)
    name, email = old.token("name", "Ada"), old.token("email", "ada@example.com")
    vault.put([name, email, old.token("phone", "+15551234567")])
    rotate(settings)
    vault.retoken()
    new = Tokeniser(settings).token("name", "Ada")
    assert new.text != name.text
    tokens, values = vault.reveal_all(("name", "email"), reader="identity")
    assert dict(zip(tokens, values, strict=True))[new.text] == "ada"
    assert set(zip(tokens, values, strict=True)) >= {(name.text, "ada"), (email.text, "ada@example.com")}
    assert all("5551234567" not in value for value in values)
    with pytest.raises(UsageError, match="may not read"):
        vault.reveal_all(("name",), reader="curious")  # type: ignore[arg-type]
    vault.close()
