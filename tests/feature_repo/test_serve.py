from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support import features
from support.features import CUT_OFF

from feature_repo.contract import feature_tables
from feature_repo.serve import apply, ensure_loaded, load_online
from feature_repo.services import definitions, feature_hash
from feature_repo.store import feature_store, registered_services
from genome.errors import GenomeError, UsageError
from genome.features import layout
from genome.features.definitions import metadata_key
from genome.features.online import PROJECT, OnlineReader
from genome.settings import Settings
from genome.stores import valkey

SayManifest = Callable[[Mapping[str, Any]], None]


def read(settings: Settings, *ids: str, service: str = "customer_genome_v1") -> list[Mapping[str, Any]]:
    with OnlineReader(settings) as reader:
        return [row.values for row in reader.read(service, "customer", ids).rows]


def trait(number: int, order_count: int, **changed: Any) -> dict[str, Any]:
    return {
        "customer_id": f"household:{number}",
        "valid_at": CUT_OFF,
        "known_at": CUT_OFF,
        "order_count": order_count,
    } | changed


def put_traits(settings: Settings, *rows: dict[str, Any]) -> None:
    tables = features.customers(3) | features.offers(2)
    features.put(
        settings,
        "genome",
        tables | {"feat_customer_traits": features.table("feat_customer_traits", list(rows))},
    )


def test_the_registry_holds_what_the_contracts_say(home: Settings) -> None:
    report = apply(home)
    expected = definitions(feature_tables(features.manifest()))
    with feature_store(home) as store:
        registered = registered_services(store)
        views = {view.name: view for view in store.list_feature_views()}
    assert registered == tuple(sorted(expected, key=lambda each: each.name))
    assert report.services == {each.name: feature_hash(each) for each in registered}
    assert views["feat_customer_traits"].description == "About feat_customer_traits."
    described = {field.name: field.description for field in views["feat_customer_traits"].features}
    assert described["first_order_at"] == "The first_order_at."
    assert views["feat_customer_traits"].batch_source.created_timestamp_column == "known_at"
    assert not (home.feast / "registry.db-journal").exists()


def test_a_new_epoch_is_registered_and_a_dropped_view_is_retired(
    home: Settings, say_manifest: SayManifest
) -> None:
    extra = features.manifest()
    extra["nodes"]["more"] = features.node(
        "feat_customer_more",
        {"entity": "customer", "ttl_days": 1},
        {"customer_id": "varchar", "valid_at": "timestamptz", "known_at": "timestamptz", "x": "double"},
    )
    say_manifest(extra)
    assert "feat_customer_more" in apply(home).views
    say_manifest(features.manifest())
    publication = features.put(home, "scores", features.scores(4))
    report = apply(home)
    assert report.retired == ("feat_customer_more",)
    with feature_store(home) as store:
        views = {view.name: view for view in store.list_feature_views()}
    assert set(views) == set(features.CONTRACTS)
    path = Path(views["feat_customer_offer_scores"].batch_source.path)
    assert path.parent == publication.path("feat_customer_offer_scores")


def test_the_load_takes_the_newest_row_that_is_valid_and_known(home: Settings) -> None:
    report = load_online(home)
    assert {each.view: each.rows for each in report.loaded} == {
        "feat_customer_traits": 40,
        "feat_customer_genome": 40,
        "feat_customer_offer_scores": 20,
        "feat_offer_dna": 5,
    }
    with OnlineReader(home) as reader:
        (one, unborn) = reader.read(
            "customer_genome_v1", "customer", ["household:1", "household:unborn"]
        ).rows
    assert one.event_at["feat_customer_traits"] == CUT_OFF
    assert one.values["order_count"] != 666
    assert not unborn.is_known


def test_loading_again_overwrites_rows_of_the_same_instant(home: Settings) -> None:
    """Feast's own writer skips these, so a corrected build would never be seen (feast#2795)."""
    put_traits(home, trait(1, 10))
    load_online(home)
    assert read(home, "household:1")[0]["order_count"] == 10
    put_traits(home, trait(1, 11))
    load_online(home)
    assert read(home, "household:1")[0]["order_count"] == 11
    put_traits(home, trait(1, 12, valid_at=CUT_OFF - timedelta(days=1)))
    load_online(home)
    assert read(home, "household:1")[0]["order_count"] == 12


def test_entities_that_are_gone_are_removed_and_nobody_else(home: Settings) -> None:
    put_traits(home, trait(1, 10), trait(2, 20))
    load_online(home)
    put_traits(home, trait(2, 20))
    assert load_online(home).removed["feat_customer_traits"] == 1
    with OnlineReader(home) as reader:
        gone, stays = reader.read("customer_genome_v1", "customer", ["household:1", "household:2"]).rows
    assert "feat_customer_traits" in gone.missing
    assert "feat_customer_genome" not in gone.missing
    assert stays.values["order_count"] == 20
    features.put(home, "genome", features.customers(2) | features.offers(1))
    assert load_online(home).removed["feat_offer_dna"] == 1
    with valkey.connect(home, "online") as client:
        (key,) = layout.entity_keys(PROJECT, "offer_id", ["26-1"])
        assert client.exists(key) == 0


def test_a_dropped_column_leaves_nothing_behind(home: Settings, say_manifest: SayManifest) -> None:
    load_online(home)
    (key,) = layout.entity_keys(PROJECT, "customer_id", ["household:1"])
    columns = {
        name: kind
        for name, kind in features.CONTRACTS["feat_customer_traits"][1].items()
        if name != "age_band"
    }
    say_manifest(features.manifest(feat_customer_traits=columns))
    field = layout.feature_field("feat_customer_traits", "age_band")
    with valkey.connect(home, "online") as client:
        assert client.hexists(key, field)
        apply(home)
        # Another view is asked for: the one whose contract has changed goes along.
        report = load_online(home, ["feat_customer_offer_scores"])
        assert {each.view for each in report.loaded} == {"feat_customer_offer_scores", "feat_customer_traits"}
        assert not client.hexists(key, field)
    assert "age_band" not in read(home, "household:1")[0]


def test_one_view_can_be_loaded_alone_and_the_others_keep_their_epoch(home: Settings) -> None:
    load_online(home)
    with OnlineReader(home) as reader:
        before = {each.view: each.epoch for each in reader.loaded()}
        publication = features.put(home, "scores", features.scores(4))
        load_online(home, ["feat_customer_offer_scores"])
        after = {each.view: each.epoch for each in reader.loaded()}
    assert after == before | {"feat_customer_offer_scores": publication.epoch}
    with pytest.raises(UsageError, match="no feature view 'feat_x'"):
        load_online(home, ["feat_x"])


def test_before_the_first_scores_everything_else_is_served(
    settings: Settings, say_manifest: SayManifest
) -> None:
    features.put(settings, "genome", features.customers(3) | features.offers(1))
    assert load_online(settings).unpublished == ("feat_customer_offer_scores",)
    with OnlineReader(settings) as reader:
        (row,) = reader.read("customer_genome_v1", "customer", ["household:1"]).rows
    assert row.missing == ("feat_customer_offer_scores",)
    assert row.values["offer_ids"] is None


def test_with_nothing_published_the_load_says_what_to_do(
    settings: Settings, say_manifest: SayManifest
) -> None:
    with pytest.raises(GenomeError, match="Nothing is published yet") as caught:
        load_online(settings)
    assert "genome build" in caught.value.remedy
    assert ensure_loaded(settings) is None


def test_a_clock_before_all_rows_does_not_empty_the_store(home: Settings) -> None:
    load_online(home)
    early = home.model_copy(update={"now": CUT_OFF - timedelta(days=400)})
    with pytest.raises(GenomeError, match="No row of feat_customer_traits is valid and known at 2016"):
        load_online(early)
    assert read(home, "household:1")[0]["order_count"] is not None


def test_two_newest_rows_of_one_entity_are_refused(home: Settings) -> None:
    put_traits(home, trait(1, 1), trait(2, 2), trait(2, 3))
    with pytest.raises(GenomeError, match="two rows of household:2 with the same valid_at and known_at"):
        load_online(home)


def test_a_table_published_before_its_contract_changed_is_refused(
    home: Settings, say_manifest: SayManifest
) -> None:
    columns = features.CONTRACTS["feat_customer_traits"][1]
    say_manifest(features.manifest(feat_customer_traits={**columns, "new": "double"}))
    with pytest.raises(
        GenomeError, match=r"feat_customer_traits\.new is DOUBLE in the contract and missing in"
    ):
        apply(home)
    say_manifest(features.manifest(feat_customer_traits={**columns, "age_band": "bigint"}))
    with pytest.raises(GenomeError, match=r"feat_customer_traits\.age_band is INT64 .* and string in"):
        apply(home)


def test_a_load_that_died_half_way_is_mended_by_the_next(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_online(home)
    put_traits(home, *(trait(number, 1) for number in range(40)))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("feature_repo.loader._remove_gone", die)
        with pytest.raises(KeyboardInterrupt):
            load_online(home, ["feat_customer_traits"])
    with OnlineReader(home) as reader:
        old = {each.view: each.epoch for each in reader.loaded()}
    report = load_online(home)
    assert {each.view: each.epoch for each in report.loaded}["feat_customer_traits"] != old[
        "feat_customer_traits"
    ]
    assert [row["order_count"] for row in read(home, "household:1", "household:39")] == [1, 1]


def test_an_empty_store_is_filled_once_and_a_new_epoch_noticed(home: Settings) -> None:
    first = ensure_loaded(home)
    assert first is not None
    assert len(first.loaded) == 4
    assert ensure_loaded(home) is None
    features.put(home, "scores", features.scores(6))
    second = ensure_loaded(home)
    assert second is not None
    assert [each.view for each in second.loaded] == ["feat_customer_offer_scores"]
    valkey.stop(home, "online")
    assert ensure_loaded(home) is not None
    assert read(home, "household:1")[0]["gene_hashes"] is not None


def test_two_loaders_take_turns(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    apply(home)
    valkey.ensure(home, "online")
    running: list[int] = []
    most: list[int] = []

    from feature_repo import serve

    original = serve._load

    def watched(*arguments: Any) -> Any:
        running.append(1)
        most.append(len(running))
        try:
            return original(*arguments)
        finally:
            running.pop()

    monkeypatch.setattr(serve, "_load", watched)
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: load_online(home), range(3)))
    assert max(most) == 1
    assert len(reports) == 3


def test_no_view_is_ever_marked_as_materializing(home: Settings) -> None:
    """Feast's online reads raise while a view is MATERIALIZING (feast#6780)."""
    load_online(home)
    with feature_store(home) as store:
        assert [view.materialization_intervals for view in store.list_feature_views()] == [[]] * 4
        answer = store.get_online_features(
            features=["feat_customer_traits:is_member"], entity_rows=[{"customer_id": "household:1"}]
        ).to_dict()
    assert answer["is_member"] == [False]


def test_the_catalogue_is_no_feature_of_anybody(home: Settings) -> None:
    load_online(home)
    with valkey.connect(home, "online") as client:
        keys = set(client.scan_iter(b"*"))
        entities = set(layout.entity_keys(PROJECT, "customer_id", [f"household:{n}" for n in range(40)]))
        offers = set(layout.entity_keys(PROJECT, "offer_id", [f"26-{n}" for n in range(5)]))
    assert keys == entities | offers | {metadata_key(PROJECT).encode()}


def test_a_published_table_in_several_parts_is_read_whole(home: Settings) -> None:
    import pyarrow.parquet as pq

    from genome.lake import publish

    area = publish.stage(home, "genome")
    rows = features.table("feat_customer_traits", [trait(number, number) for number in range(600)])
    for part in range(3):
        pq.write_table(rows.slice(part * 200, 200), area.file("features", "feat_customer_traits", part))
    for name, table in (features.customers(2) | features.offers(1)).items():
        if name != "feat_customer_traits":
            pq.write_table(table, area.file("features", name))
    publish.publish(area)
    report = load_online(home)
    assert {each.view: each.rows for each in report.loaded}["feat_customer_traits"] == 600
    assert [row["order_count"] for row in read(home, "household:0", "household:333", "household:599")] == [
        0,
        333,
        599,
    ]
    assert isinstance(rows, pa.Table)
