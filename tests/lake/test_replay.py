import dataclasses
import json
from pathlib import Path

import pytest

from genome import channels
from genome.channels.contract import Field, Kind
from genome.errors import GenomeError, UsageError
from genome.lake import files, quarantine
from genome.lake.ingest import ingest
from genome.lake.manifest import Counts, Manifest
from genome.lake.replay import replay
from genome.lake.vault import Vault
from genome.settings import Settings

HEADER = "campaign_id,household_id,sent_at"


def drop(settings: Settings, name: str, content: str | bytes) -> Path:
    path = settings.inbox / "direct_mail" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def mend(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Change the connector, as a person who mends its file would."""
    found = dict(channels.registry())
    found["direct_mail"] = dataclasses.replace(found["direct_mail"], **changes)
    monkeypatch.setattr(channels, "registry", lambda: found)


def _optional(name: str, kind: Kind, default: str | None = None) -> tuple[Field, ...]:
    return tuple(
        Field(name, kind, "As it should have been.", required=False, default=default)
        if each.name == name
        else each
        for each in channels.connector("direct_mail").columns
    )


def _ledger(settings: Settings) -> Counts:
    return Manifest.read(settings, "interactions").counts("direct_mail")


def test_a_row_lands_once_after_the_contract_is_mended_and_the_ledger_balances(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(settings, "a.csv", f"{HEADER}\n1,h1,2017-03-01\n,h2,2017-03-01\n,h3,\n")
    ingest(settings, "direct_mail")
    assert _ledger(settings) == Counts(received=3, accepted=1, quarantined=2)
    ids = [item.id for item in quarantine.open_items(settings)]

    unchanged = replay(settings)
    assert (unchanged.items, unchanged.accepted) == (2, 0)
    assert unchanged.still == {
        ids[0]: "campaign_id is missing",
        ids[1]: "campaign_id is missing; sent_at is missing",
    }
    assert _ledger(settings) == Counts(received=3, accepted=1, quarantined=2)

    mend(monkeypatch, columns=_optional("campaign_id", Kind.ID, "0"))
    mended = replay(settings)
    assert (mended.items, mended.accepted, list(mended.still)) == (2, 1, [ids[1]])
    assert _ledger(settings) == Counts(received=3, accepted=2, quarantined=1)
    assert [item.id for item in quarantine.open_items(settings)] == [ids[1]]

    again = replay(settings)
    assert (again.items, again.accepted) == (1, 0)
    by_name = replay(settings, ids)
    assert (by_name.items, by_name.accepted, by_name.done) == (1, 0, [ids[0]])
    assert _ledger(settings) == Counts(received=3, accepted=2, quarantined=1)
    assert quarantine.find(settings, ids[0])[1] is False


def test_a_refused_file_lands_under_its_own_name_after_the_contract_is_mended(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(settings, "late.csv", "household_id,sent_at\nh1,2017-03-01\nh2,2017-03-01\nh3,x\n")
    ingest(settings, "direct_mail")
    # The source may have removed it meanwhile: quarantine holds its bytes.
    path.unlink()
    [item] = quarantine.open_items(settings)
    assert replay(settings, [item.id]).still[item.id].startswith("late.csv: column 'campaign_id' is missing")
    mend(monkeypatch, columns=_optional("campaign_id", Kind.ID, "0"))
    report = replay(settings, [item.id])
    assert (report.items, report.accepted, report.still) == (1, 2, {})
    [entry] = Manifest.read(settings, "interactions").entries
    assert (entry.source.name, entry.counts) == ("late.csv", Counts(3, 2, 1))
    assert [each.raw_kind for each in quarantine.open_items(settings)] == ["json"]
    assert not list(settings.lake.glob("quarantine/**/*.file"))
    second = replay(settings, [item.id])
    assert (second.items, second.accepted, second.done) == (0, 0, [item.id])
    path.write_text("household_id,sent_at\nh1,2017-03-01\nh2,2017-03-01\nh3,x\n")
    assert ingest(settings, "direct_mail").files[0].status == "duplicate"


def test_bytes_of_another_encoding_land_after_the_contract_names_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(settings, "a.csv", f"{HEADER}\n1,ren\u00e9e,2017-03-01\n1,zo\u00eb,2017-03-01\n".encode("latin-1"))
    drop(
        settings,
        "b.jsonl",
        '{"campaign_id": 2, "household_id": "ren\u00e9e", "sent_at": "2017"}\n'.encode("latin-1"),
    )
    ingest(settings, "direct_mail")
    assert sorted(item.raw_kind for item in quarantine.open_items(settings)) == ["csv", "csv", "line"]
    mend(monkeypatch, encoding="latin-1")
    report = replay(settings)
    assert report.accepted == 2
    assert list(report.still.values()) == [
        "sent_at is not a date and time (ISO 8601, with an offset or in the contract's time zone)"
    ]
    import pyarrow.parquet as pq

    keys = []
    for path in Manifest.read(settings, "interactions").files():
        with path.open("rb") as file:
            keys += pq.read_table(file).column("customer_key").to_pylist()
    assert sorted(keys) == ["ren\u00e9e", "zo\u00eb"]


def test_a_row_whose_like_landed_meanwhile_is_resolved_as_a_duplicate(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(settings, "a.csv", f"{HEADER}\n,h1,2017-03-01\n")
    drop(settings, "b.csv", f"{HEADER}\n0,h1,2017-03-01\n")
    ingest(settings, "direct_mail")
    mend(monkeypatch, columns=_optional("campaign_id", Kind.ID, "0"))
    report = replay(settings)
    assert (report.accepted, report.duplicate, report.still) == (0, 1, {})
    assert _ledger(settings) == Counts(received=2, accepted=1, duplicate=1)
    assert quarantine.open_items(settings) == []


@pytest.mark.parametrize("commits", [0, 1])
def test_a_replay_that_was_killed_lands_once_when_repeated(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    drop(settings, "a.csv", f"{HEADER}\n,h1,2017-03-01\n,h2,2017-03-01\n")
    ingest(settings, "direct_mail")
    mend(monkeypatch, columns=_optional("campaign_id", Kind.ID, "0"))
    real, left = files.commit, [commits]

    def dying(written: Path, final: Path) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        real(written, final)

    with monkeypatch.context() as patch:
        patch.setattr(files, "commit", dying)
        with pytest.raises(KeyboardInterrupt):
            replay(settings)
    assert _ledger(settings) == Counts(received=2, quarantined=2)
    assert replay(settings).accepted == 2
    assert _ledger(settings) == Counts(received=2, accepted=2)


def test_an_id_that_was_never_set_aside_is_a_wrong_call(settings: Settings) -> None:
    with pytest.raises(UsageError, match="Nothing in quarantine is called 'pos-1:7'"):
        replay(settings, ["pos-1:7"])


def test_quarantined_text_opens_only_with_its_own_key_and_in_its_own_place(
    settings: Settings, tmp_path: Path
) -> None:
    vault = Vault(settings)
    sealed = vault.seal(b"text", "pos-1:7")
    assert vault.open(sealed, "pos-1:7") == b"text"
    with pytest.raises(GenomeError, match="do not open"):
        vault.open(sealed, "pos-1:8")
    stranger = Vault(Settings(home=tmp_path / "other"))
    with pytest.raises(GenomeError, match=r"Restore the vault\.key"):
        stranger.open(sealed, "pos-1:7")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (2 << 20) + 5])
def test_a_sealed_file_opens_whole_and_not_when_it_was_cut(
    settings: Settings, tmp_path: Path, size: int
) -> None:
    vault, plain, sealed, opened = (
        Vault(settings),
        tmp_path / "plain",
        tmp_path / "sealed",
        tmp_path / "opened",
    )
    plain.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    with plain.open("rb") as source, sealed.open("wb") as target:
        vault.seal_file(source, target, "pos-1")
    with sealed.open("rb") as source, opened.open("wb") as target:
        vault.open_file(source, target, "pos-1")
    assert opened.read_bytes() == plain.read_bytes()
    chunk = (1 << 20) + 28
    whole = sealed.read_bytes()
    shorter = whole[:chunk] if len(whole) > chunk else whole[:-1]
    sealed.write_bytes(shorter)
    with (
        sealed.open("rb") as source,
        opened.open("wb") as target,
        pytest.raises(GenomeError, match="do not open"),
    ):
        vault.open_file(source, target, "pos-1")


def test_reasons_and_ids_are_all_that_the_list_shows(settings: Settings) -> None:
    drop(settings, "a.csv", f"{HEADER}\n,jane.doe@example.org,2017-03-01\n")
    ingest(settings, "direct_mail")
    items = [dataclasses.asdict(item) for item in quarantine.open_items(settings)]
    assert len(items) == 1
    assert "jane" not in json.dumps(items)
