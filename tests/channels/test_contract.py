import dataclasses
import subprocess
import sys
from datetime import timedelta

import pytest

from genome.channels import connector, registry
from genome.channels.contract import (
    Column,
    Concat,
    Connector,
    Constant,
    Feed,
    Field,
    Interaction,
    Key,
    Kind,
    Midnight,
    Personal,
    Properties,
)
from genome.channels.describe import describe
from genome.collector.sources import CHANNELS
from genome.errors import UsageError
from genome.lake.compiler import lake_columns
from genome.lake.layout import INTERACTION_COLUMNS

BECOMES = Interaction("Thing Done", Column("at"), "card", Column("card"))
FIELDS = (
    Field("card", Kind.ID, "Who."),
    Field("at", Kind.TIMESTAMP, "When."),
    Field("day", Kind.DATE, "Day."),
)


def make(**changes: object) -> Connector:
    """A small connector, with some of it changed."""
    values: dict[str, object] = {
        "name": "things",
        "title": "Things",
        "description": "Things that are done.",
        "source_id": "things",
        "columns": FIELDS,
        "key": ("card", "at"),
        "becomes": BECOMES,
    }
    return Connector(**(values | changes))  # type: ignore[arg-type]


EMAIL = Field("email", Kind.TEXT, "Address.", required=False, personal=Personal.EMAIL)
OTHER = make(stream="more", source_id="more")


def test_the_registry_holds_the_twelve_channels_and_the_five_feeds() -> None:
    feeds = [name for name, each in registry().items() if each.dataset == "catalog"]
    assert feeds == ["offers", "prices", "products", "stock", "stores"]
    assert sorted(set(registry()) - set(feeds)) == sorted(CHANNELS)
    with pytest.raises(UsageError, match="Choose one of: app, crm, direct_mail"):
        connector("tills")


def test_importing_the_registry_loads_no_heavy_package() -> None:
    script = (
        "import sys; from genome.channels import registry; registry(); "
        "print([name for name in ('duckdb', 'pyarrow', 'pandas', 'numpy', 'airflow') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(registry()))
def test_every_connector_describes_itself_and_ends_in_the_lakes_columns(name: str) -> None:
    page = describe(registry()[name])
    for found in registry()[name].streams:
        assert found.title in page
        assert [field.name for field in found.contract if f"| `{field.name}` |" not in page] == []
        if found.dataset == "interactions":
            assert lake_columns(found) == INTERACTION_COLUMNS
        else:
            assert list(lake_columns(found))[-4:] == [
                "_batch_id",
                "_ingested_at",
                "received_at",
                "_known_assumed",
            ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Bad Name"}, "lower case"),
        ({"key": ()}, "needs a key"),
        ({"key": ("nothing",)}, "columns that its contract lacks: nothing"),
        ({"columns": (*FIELDS, FIELDS[0])}, "names a column twice"),
        ({"encoding": "ebcdic"}, "encoding 'ebcdic'"),
        ({"becomes": dataclasses.replace(BECOMES, amount=Column("price"))}, "lacks: price"),
        ({"becomes": dataclasses.replace(BECOMES, occurred_at=Midnight(Column("at")))}, "no DATE"),
        ({"becomes": dataclasses.replace(BECOMES, properties=Properties(("size",)))}, "lacks: size"),
        (
            {"becomes": dataclasses.replace(BECOMES, further_keys=(Key("email", Column("email")),))},
            "lacks: email",
        ),
        ({"columns": (*FIELDS, EMAIL), "key": ("email",)}, "its key may hold nothing personal"),
        (
            {"columns": (*FIELDS, EMAIL), "becomes": Feed(assumed_known_at=Column("at"))},
            "a feed is about things",
        ),
        ({"others": (OTHER,)}, "needs a stream of its own"),
        ({"stream": "more", "others": (OTHER,)}, "needs a stream of its own"),
        ({"stream": "first", "source_id": "more", "others": (OTHER,)}, "needs a source_id of its own"),
        ({"stream": "first", "name": "stuff", "others": (OTHER,)}, "'more' is of another channel"),
    ],
)
def test_a_mistake_in_a_connector_is_found_when_it_is_made(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(**changes)


def test_a_field_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="snake_case"):
        Field("Bad Name", Kind.ID, "x")
    with pytest.raises(ValueError, match="required column has no default"):
        Field("x", Kind.ID, "x", default="1")
    with pytest.raises(ValueError, match="only a text has a list of values"):
        Field("x", Kind.ID, "x", one_of=("a",))
    with pytest.raises(ValueError, match="what is left of a birth is a whole number"):
        Field("x", Kind.DATE, "x", personal=Personal.BIRTH)


def test_the_beginning_of_a_files_name_tells_which_of_a_channels_files_it_is() -> None:
    first = make(stream="first", others=(OTHER,))
    for name in ("more.csv", "more-2024-12-part-0000.csv.gz", "2024/more-1.csv"):
        assert first.of(name) is OTHER
    for name in ("first-1.csv", "2024-12.csv", "more_or_less.csv", "more/first.csv"):
        assert first.of(name) is first


def test_the_fingerprint_tells_two_versions_of_a_connector_apart() -> None:
    assert make().fingerprint == make().fingerprint
    assert make().fingerprint != make(tolerance=timedelta(hours=1)).fingerprint


def test_any_file_may_bring_received_at_unless_the_feed_has_its_own_column_for_it() -> None:
    assert [each.name for each in make().contract] == ["card", "at", "day", "received_at"]
    own = Field("told_at", Kind.TIMESTAMP, "When.", required=False)
    feed = make(
        columns=(*FIELDS, own), becomes=Feed(assumed_known_at=Column("at"), known_at=Column("told_at"))
    )
    assert [each.name for each in feed.contract] == ["card", "at", "day", "told_at"]


def test_every_expression_has_words_for_the_reference_page() -> None:
    page = describe(
        make(
            becomes=dataclasses.replace(
                BECOMES,
                occurred_at=Midnight(Column("day"), plus_days=2),
                delay=timedelta(hours=3),
                session_id=Concat((Column("card"), Constant("x")), separator="/"),
                properties=Properties(("day",)),
            )
        )
    )
    assert "| `occurred_at` | the start of the day of `day`, plus 2 days |" in page
    assert "| `session_id` | `card`, always `x` joined by `/` |" in page
    assert "| `properties` | JSON of `day` |" in page
    assert "customer key `card` (`card`):" in page
    service = describe(registry()["service"])
    assert "as `Complaint Opened`" not in service
    assert (
        "as always `Complaint Opened` where `is_complaint` is `true` and `event` is `Ticket Opened`"
        in service
    )
    assert "else `ticket` (`ticket_id`); a row's other keys land in `lake/identifiers/`" in service
    assert "becomes a token `email_…`" in service
    assert "set right by the difference of `received_at` and `sent_at`" in describe(registry()["web"])
    assert "3 hours after it happened (assumed)" in page
