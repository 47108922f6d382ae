"""The cookbook's connector is run as it stands there: a person who copies it gets what the page says."""

import re
import textwrap
from pathlib import Path

import duckdb
import pytest

from genome import channels
from genome.channels.contract import Connector
from genome.lake.ingest import ingest
from genome.lake.manifest import Counts, Manifest
from genome.settings import PROJECT_ROOT, Settings

PAGE = PROJECT_ROOT / "docs" / "cookbooks" / "add-a-channel.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def _connector(code: str) -> Connector:
    scope: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), scope)
    found = scope["CONNECTOR"]
    assert isinstance(found, Connector)
    return found


def test_the_cookbooks_connector_lands_the_cookbooks_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    [code] = _blocks("python")
    [sample] = _blocks("csv")
    assert _connector(code).name not in channels.registry()
    made = _connector(code)
    registry = {**channels.registry(), made.name: made}
    monkeypatch.setattr(channels, "registry", lambda: registry)
    path = settings.inbox / made.name / "answers.csv"
    path.parent.mkdir(parents=True)
    path.write_text(sample)
    [outcome] = ingest(settings, made.name).files
    # As the page says: one row lands, one has a score that is out of range.
    assert outcome.counts == Counts(received=2, accepted=1, quarantined=1)
    assert list(outcome.reasons) == ["score is below 0"]
    [file] = Manifest.read(settings, "interactions").files(made.name)
    row = duckdb.execute(
        "SELECT interaction_type, customer_key_type, customer_key, product_id, properties "
        f"FROM read_parquet('{file}')"
    ).fetchall()
    assert row == [("Product Tasted", "household", "17", "825123", '{"score":9}')]


def test_the_page_names_files_and_verbs_that_exist() -> None:
    text = PAGE.read_text()
    named = set(re.findall(r"`((?:genome|tests|docs|dbt_project)/[\w/.-]+\.\w+)`", text))
    assert len(named) >= 3
    assert [name for name in named if "tasting" not in name and not (PROJECT_ROOT / name).exists()] == []
    assert Path(PAGE).read_text().count("genome ingest") >= 2


def test_every_channel_is_staged_once_and_every_feed_has_a_staging() -> None:
    project = PROJECT_ROOT / "dbt_project"
    stagings = re.findall(r"'stg_(\w+?)__\w+': \[", (project / "macros" / "channels.sql").read_text())
    feeds = {name for name, each in channels.registry().items() if each.dataset == "catalog"}
    assert set(stagings) == set(channels.registry()) - feeds
    for name, found in channels.registry().items():
        files = list((project / "models" / "staging").glob(f"stg_{name}__*.sql"))
        assert len(files) == len(found.streams), name
        assert all(file.with_suffix(".yml").is_file() for file in files)
        # Several kinds of rows in one channel: each staging takes its own.
        if len(files) > 1:
            assert all(re.search(r"^ *where\b", file.read_text(), re.M) for file in files), name
    declared = (project / "models" / "sources.yml").read_text()
    assert [name for name in feeds if f"      - name: {name}\n" not in declared] == []


def test_the_pages_staging_is_that_of_its_connector() -> None:
    [code], [sql], [names] = _blocks("python"), _indented("sql"), _indented("yaml")
    made = _connector(code)
    assert f"lake('interactions', channel='{made.name}')" in sql
    assert f"stg_{made.name}__answers" in names
    common = (PROJECT_ROOT / "dbt_project" / "models" / "staging" / "stg_survey__answers.sql").read_text()
    head, _, _ = common.partition("    -- numbers")
    assert sql.startswith(head)


def _indented(language: str) -> list[str]:
    found = re.findall(rf"   ```{language}\n(.*?)   ```", PAGE.read_text(), re.DOTALL)
    return [textwrap.dedent(each) for each in found]
