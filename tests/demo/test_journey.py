import socket
from pathlib import Path

import pytest

from genome.demo import journey
from genome.demo.data import DataSet, Exported, data_set
from genome.errors import GenomeError, UsageError
from genome.settings import Settings
from tests.conftest import free_ports


def _nothing(settings: Settings, people: int | None) -> Exported:
    now = {"now": "2025-01-01T05:00:00Z", "business_timezone": "America/New_York"}
    return Exported({"rows": {}}, now)


MALL = DataSet("mall", "a mall without files", _nothing)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENOME_HOME", str(tmp_path / "home"))
    # A clock of the person's own, which the demo does not go by.
    monkeypatch.setenv("GENOME_NOW", "2031-01-01T00:00:00Z")
    return tmp_path / "home"


def test_a_home_gets_the_settings_that_go_with_its_data(home: Path) -> None:
    settings = journey.prepare_home(MALL, keep=False)
    _, settings = journey.write_inbox(MALL, settings, None)
    assert settings.home == home
    assert settings.now is not None
    assert settings.now.isoformat() == "2025-01-01T05:00:00+00:00"
    assert settings.business_timezone == "America/New_York"
    assert settings.training_validation_days == 30
    assert settings.training_min_redemptions == 25


def test_a_person_can_set_the_training_windows_of_the_demo(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENOME_TRAINING_MIN_REDEMPTIONS", "3")
    _, settings = journey.write_inbox(MALL, journey.prepare_home(MALL, keep=False), None)
    assert settings.training_min_redemptions == 3
    assert settings.home == home


def test_keep_keeps_a_home_of_the_same_data_only(home: Path) -> None:
    journey.prepare_home(MALL, keep=False)
    (home / "left").write_text("over")
    journey.prepare_home(MALL, keep=True)
    assert (home / "left").read_text() == "over"
    with pytest.raises(UsageError, match="holds the demo of mall, not of complete-journey"):
        journey.prepare_home(data_set("complete-journey"), keep=True)
    journey.prepare_home(data_set("complete-journey"), keep=False)
    assert not (home / "left").exists()


def test_a_folder_of_somebody_else_is_not_touched(home: Path) -> None:
    home.mkdir()
    (home / "precious").write_text("mine")
    with pytest.raises(UsageError, match="was not made by the demo"):
        journey.prepare_home(MALL, keep=False)
    assert (home / "precious").read_text() == "mine"


def test_a_port_that_is_taken_is_said_before_anything_is_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genome.stores import valkey

    events, online = free_ports(2)
    monkeypatch.setenv("GENOME_EVENTS_PORT", str(events))
    monkeypatch.setenv("GENOME_ONLINE_PORT", str(online))
    with socket.socket() as other:
        other.bind(("127.0.0.1", online))
        other.listen()
        settings = journey.prepare_home(MALL, keep=False)
        try:
            with pytest.raises(GenomeError, match=f"Port {online} of the embedded online store is taken"):
                journey.start_stores(settings)
        finally:
            valkey.stop(settings)
    assert not settings.inbox.exists()
