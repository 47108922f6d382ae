"""Who is who, beside the truth of a little mall: the targets of docs/identity.md hold here too."""

import shutil
from pathlib import Path

import pytest

from genome.errors import GenomeError
from genome.identity.resolve import resolve
from genome.lake.ingest import ingest
from genome.settings import Settings
from genome.simulate.identities import Measured, measure
from genome.simulate.run import Mall

CHANNELS = ("crm", "web", "app", "pos", "loyalty", "survey", "service", "email", "sms_push", "direct_mail")


@pytest.fixture(scope="module")
def measured(mall_folder: Path, mall: Mall, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    home = tmp_path_factory.mktemp("resolved") / "home"
    settings = Settings(home=home, now=mall.cut_off, business_timezone=mall.timezone, threads=1)
    with pytest.raises(GenomeError, match="Nothing is resolved yet"):
        measure(settings, mall_folder)
    for channel in CHANNELS:
        shutil.copytree(mall_folder / "inbox" / channel, settings.inbox / channel)
        ingest(settings, channel)
    resolve(settings)
    return measure(settings, mall_folder)


def test_pairs_are_right_and_nearly_all_are_found(measured: Measured) -> None:
    whole = measured.scores[0]
    assert whole.joined > 4_000
    assert whole.precision >= 0.995
    assert whole.recall >= 0.95
    assert {score.name for score in measured.scores} >= {"all", "contact", "user", "anonymous", "device"}


def test_no_trap_joins_two_persons(measured: Measured) -> None:
    traps = {trap.name: trap for trap in measured.traps}
    assert traps["family tablet"].things > 5
    assert traps["family tablet"].alone > 0
    assert traps["household of several known persons"].things > 20
    assert traps["a till's house account"].things == 0
    assert {name: trap.merges for name, trap in traps.items() if trap.merges} == {}
    assert {name: trap.with_stranger for name, trap in traps.items() if trap.with_stranger} == {}
    assert measured.mixed == 0


def test_what_it_counts_adds_up(measured: Measured) -> None:
    for score in measured.scores:
        assert score.right <= score.joined
        assert score.right <= score.linkable <= score.true
    for trap in measured.traps:
        assert trap.alone + trap.with_one <= trap.things
