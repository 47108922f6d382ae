"""Tokens: keyed, normalised, with their key's version; and what a rotation does (31)."""

import hashlib
import hmac
import json

import pytest

from genome.errors import GenomeError
from genome.identity.tokens import Tokeniser, read_keys, rotate
from genome.identity.vault import Vault
from genome.settings import Settings


def test_a_token_is_a_keyed_hmac_of_the_normalised_value(settings: Settings) -> None:
    token = Tokeniser(settings).token("email", " Bob@Example.com")
    key = read_keys(settings).by_version[1]
    expected = hmac.new(key, b"email\0bob@example.com", hashlib.sha256).hexdigest()[:32]
    assert (token.kind, token.text, token.key_version, token.value) == (
        "email",
        f"email_1_{expected}",
        1,
        "bob@example.com",
    )


def test_two_spellings_have_one_token_and_two_kinds_have_two(settings: Settings) -> None:
    tokeniser = Tokeniser(settings, calling_code="1")
    assert tokeniser.token("phone", "+1 555 123 4567").text == tokeniser.token("phone", "(555) 123-4567").text
    assert tokeniser.token("name", "Bob  SMITH").text == tokeniser.token("name", "bob smith").text
    assert tokeniser.token("name", "bob").text[-32:] != tokeniser.token("address", "bob").text[-32:]


def test_another_installation_has_other_tokens(settings: Settings) -> None:
    other = settings.model_copy(update={"home": settings.home.with_name("other")})
    assert Tokeniser(settings).token("email", "a@b.cd").text != Tokeniser(other).token("email", "a@b.cd").text


def test_keys_are_readable_by_their_owner_only(settings: Settings) -> None:
    Tokeniser(settings)
    rotate(settings)
    assert (settings.secrets / "token_keys.json").stat().st_mode & 0o777 == 0o600


def test_after_a_rotation_new_tokens_have_the_new_version_and_both_are_one_identifier(
    settings: Settings,
) -> None:
    tokeniser, vault = Tokeniser(settings), Vault(settings)
    old = tokeniser.token("email", "bob@example.com")
    other = tokeniser.token("email", "eve@example.com")
    vault.put([old, other])
    assert rotate(settings) == 2
    assert vault.retoken() == 2
    tokeniser._looked = float("-inf")
    new = tokeniser.token("email", "BOB@example.com")
    assert new.key_version == 2
    assert new.text.startswith("email_2_")
    assert vault.tokens_of(new.text) == vault.tokens_of(old.text) == {old.text, new.text}
    assert vault.reveal([new.text, other.text], reader="identity") == {
        new.text: "bob@example.com",
        other.text: "eve@example.com",
    }
    assert rotate(settings) == 3
    vault.put([new])  # it came again between rotation and retoken
    vault.retoken()
    assert len(vault.tokens_of(old.text)) == 3
    assert vault.retoken() == 0
    vault.close()


def test_a_running_tokeniser_notices_the_rotation(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genome.identity.tokens._LOOK_SECONDS", 0.0)
    tokeniser = Tokeniser(settings)
    assert tokeniser.token("email", "a@b.cd").key_version == 1
    rotate(settings)
    assert tokeniser.token("email", "a@b.cd").key_version == 2


@pytest.mark.parametrize(
    "text", ["{", '{"current": 2, "keys": {"1": "00"}}', '{"current": 1, "keys": {"1": "x"}}']
)
def test_a_damaged_key_file_is_an_error_and_never_a_new_key(settings: Settings, text: str) -> None:
    Tokeniser(settings)
    path = settings.secrets / "token_keys.json"
    path.write_text(text)
    with pytest.raises(GenomeError, match=r"token_keys\.json is damaged"):
        Tokeniser(settings)
    assert path.read_text() == text


def test_the_key_file_holds_what_it_says(settings: Settings) -> None:
    rotate(settings)
    document = json.loads((settings.secrets / "token_keys.json").read_text())
    assert (document["current"], sorted(document["keys"])) == (2, ["1", "2"])
