"""From a connector to SQL: the typed expressions of `genome.channels.contract` as DuckDB expressions.

The SQL has four layers, each a projection over the one below, so that nothing is computed twice:

    raw      the source's columns, trimmed, empty as null             r_<column>
             (personal ones with tokens in place of their values)
    typed    each as its contract's type, null where it is not one    t_<column>
    checked  the reasons why a row cannot be let in, or null          _reason
    mapped   the columns of the lake
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from genome.channels.contract import (
    Case,
    Column,
    Concat,
    Connector,
    Constant,
    Corrected,
    Expression,
    Feed,
    Field,
    Interaction,
    Key,
    Kind,
    Midnight,
    Personal,
    Properties,
)
from genome.lake import layout
from genome.vocabulary import AGENT, PROPERTY

EARLIEST_YEAR = 1990
"""An event before this year is a clock or a format gone wrong: 1970-01-01 is zero, 0001-01-01 a default."""

_INTEGER = r"[+-]?[0-9]+(\.0*)?"
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_OFFSET = r"( ?(Z|z|UTC|[+-][0-9]{2}(:?[0-9]{2})?))"
_TIMESTAMP = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?" + _OFFSET + "?)?"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]00:00(:00(\.0+)?)?)?"
_BOOLEAN = "(?i)true|false|t|f|yes|no|y|n|1|0"
_SQL_TYPES = {
    Kind.TEXT: "VARCHAR",
    Kind.ID: "VARCHAR",
    Kind.INTEGER: "BIGINT",
    Kind.NUMBER: "DOUBLE",
    Kind.MONEY: "DECIMAL(18,4)",
    Kind.TIMESTAMP: "TIMESTAMPTZ",
    Kind.DATE: "DATE",
    Kind.BOOLEAN: "BOOLEAN",
}


def text(value: str) -> str:
    """A SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def name(identifier: str) -> str:
    """A SQL identifier, quoted."""
    return '"' + identifier.replace('"', '""') + '"'


def instant(value: datetime) -> str:
    """A SQL TIMESTAMPTZ literal."""
    return f"TIMESTAMPTZ {text(value.isoformat())}"


@dataclass(frozen=True)
class Raw:
    """A column as the source has it: how to read it, and its DuckDB type."""

    sql: str
    type: str


@dataclass(frozen=True)
class Reading:
    """What one file is read with: the connector, where its columns are, and the batch it becomes.

    Attributes:
        key_version: which key made the tokens that stand in for personal values.
    """

    connector: Connector
    columns: Mapping[str, Raw]
    now: datetime
    timezone: str
    batch_id: str
    key_version: int = 0


def sql_type(field: Field) -> str:
    """The DuckDB type of a contract's column."""
    return _SQL_TYPES[field.kind]


def lake_columns(connector: Connector) -> dict[str, str]:
    """The columns that a connector's rows have in the lake -> their DuckDB types, in order."""
    if isinstance(connector.becomes, Interaction):
        return dict(layout.INTERACTION_COLUMNS)
    own = {each.name: sql_type(each) for each in connector.columns if each.name != "received_at"}
    return own | {
        "_batch_id": "VARCHAR",
        "_ingested_at": "TIMESTAMPTZ",
        "received_at": "TIMESTAMPTZ",
        "_known_assumed": "BOOLEAN",
    }


def body_columns(connector: Connector) -> list[str]:
    """The columns of a lake row that the source decides: two deliveries of one row agree on them."""
    ours = {"interaction_id", "received_at", "_key_version", "_known_assumed", "_batch_id", "_ingested_at"}
    # The same person has another token after the keys were rotated.
    tokens = {each.name for each in connector.personal if each.personal is not Personal.WORDS}
    if isinstance(connector.becomes, Interaction) and tokens:
        given = connector.becomes.expressions()
        ours |= {column for column, each in given.items() if tokens & set(each.columns())}
        if any(key.value.name in tokens for key in connector.becomes.keys):
            ours |= {"customer_key_type", "customer_key"}
    return [column for column in lake_columns(connector) if column not in ours]


def mapped(reading: Reading, source: str) -> str:
    """The query over `source` (with `_row`) that gives `_row, _reason, _id` and the lake's columns.

    Where a row may bring several keys: also `_key_<n>` and `_chosen`, the number of the customer's own. For
    each personal column of the file there must be a relation `tokens_of(column)` of `value` and `token`.
    """
    contract = reading.connector.contract
    present = [each for each in contract if each.name in reading.columns]
    raw = ",\n    ".join(
        f"{_normalised(each, reading.columns[each.name])} AS {name('r_' + each.name)}" for each in present
    )
    personal = [each for each in present if each.personal is not None]
    tokenised = "".join(
        f"\n    LEFT JOIN {tokens_of(each.name)} ON {name('r_' + each.name)} = {tokens_of(each.name)}.value"
        for each in personal
    )
    replaced = ", ".join(f"{tokens_of(each.name)}.token AS {name('r_' + each.name)}" for each in personal)
    values = f"raw.* REPLACE ({replaced})" if personal else "raw.*"
    typed = ",\n    ".join(f"{_typed(each, reading)} AS {name('t_' + each.name)}" for each in contract)
    rules = [rule for each in contract for rule in _field_rules(each, given=each.name in reading.columns)]
    rules += _time_rules(reading)
    # Almost every row is good: the words are put together for the others only.
    broken = " OR ".join(f"coalesce({condition}, false)" for condition, _ in rules)
    reasons = ", ".join(f"CASE WHEN {condition} THEN {text(words)} END" for condition, words in rules)
    given = _lake_expressions(reading) | _key_expressions(reading)
    lake = ",\n    ".join(f"{sql} AS {name(column)}" for column, sql in given.items())
    return f"""
SELECT _row, _reason, {_identity(reading.connector, lambda column: name("t_" + column))} AS _id,
    {lake}
FROM (
  SELECT *, CASE WHEN {broken} THEN concat_ws('; ', {reasons}) END AS _reason
  FROM (
    SELECT *,
    {typed}
    FROM (SELECT {values} FROM (SELECT _row, {raw} FROM {source}) AS raw{tokenised})
  )
)"""


def tokens_of(column: str) -> str:
    """The name of the relation that says what stands in for each value of a personal column."""
    return name("tokens_" + column)


def distinct_values(reading: Reading, field: Field, source: str) -> str:
    """The query that gives every value of a column, as the contract reads it, once."""
    value = _normalised(field, reading.columns[field.name])
    return f"SELECT DISTINCT value FROM (SELECT {value} AS value FROM {source}) WHERE value IS NOT NULL"


def words(reading: Reading, source: str, accepted: str) -> str:
    """The query that gives what people wrote in the accepted rows, as the fields of `genome.identity.texts.Text`; empty
    where the file has no column of words.
    """
    column = next((each for each in reading.connector.personal if each.personal is Personal.WORDS), None)
    if column is None or column.name not in reading.columns:
        return ""
    value = _normalised(column, reading.columns[column.name])
    return (
        "SELECT interaction_id, customer_key_type, customer_key, channel, interaction_type, "
        "epoch_us(occurred_at), epoch_us(received_at), words, "
        f"json_extract_string(properties, {text('$.' + PROPERTY)}) "
        f"FROM {accepted} JOIN (SELECT _row, {value} AS words FROM {source}) USING (_row) WHERE words IS NOT NULL "
        f"AND json_extract_string(properties, '$.author') IS DISTINCT FROM {text(AGENT)}"
    )


def identifiers(connector: Connector, key_version: int, accepted: str) -> str:
    """The query that gives `lake/identifiers/` of the accepted rows; empty where rows have one key only."""
    becomes = connector.becomes
    if not isinstance(becomes, Interaction) or not becomes.further_keys:
        return ""
    common = tuple(layout.IDENTIFIER_COLUMNS)[:8]
    parts = [
        f"SELECT {', '.join(common)}, {text(key.key_type)} AS identifier_type, _key_{number} AS identifier, "
        f"CAST({_version(connector, key, key_version)} AS INTEGER) AS _key_version, "
        f"_known_assumed, _batch_id, _ingested_at FROM {accepted} "
        f"WHERE _key_{number} IS NOT NULL AND _chosen <> {number}"
        for number, key in enumerate(becomes.keys)
        if not key.is_last_resort
    ]
    return " UNION ALL ".join(parts)


def stored_identity(connector: Connector) -> str:
    """The natural key's hash, computed on rows that lie in the lake."""
    if isinstance(connector.becomes, Interaction):
        return name("interaction_id")
    return _identity(connector, name)


def body_hash(connector: Connector, available: set[str] | None = None) -> str:
    """A hash of what the source said about a row; columns that older files lack count as null."""
    types = lake_columns(connector)
    parts = [
        name(column) if available is None or column in available else f"CAST(NULL AS {types[column]})"
        for column in body_columns(connector)
    ]
    if any(each.personal is Personal.WORDS for each in connector.personal):
        # The vocabulary's word, not the source's: the same row may be read again by a larger one.
        said = json.dumps({PROPERTY: None})
        parts = [
            f"json_merge_patch({each}, {text(said)})" if each == name("properties") else each
            for each in parts
        ]
    return f"hash({', '.join(parts)})"


def essence_hash(connector: Connector) -> str:
    """A hash of what an event says whichever way it came: who, what and how much.

    A live delivery words the rest in its own way: its properties are the sender's, its clock was set right
    when it arrived.
    """
    if not isinstance(connector.becomes, Interaction):
        return "hash(NULL)"
    kept = [column for column in _ESSENCE if column in body_columns(connector)]
    return f"hash({', '.join(name(column) for column in kept)})"


_ESSENCE = (
    "interaction_type",
    "customer_key_type",
    "customer_key",
    "product_id",
    "offer_id",
    "store_id",
    "quantity",
    "amount",
)


def _class(raw_type: str) -> str:
    head = raw_type.split("(", maxsplit=1)[0].strip()
    if head in ("FLOAT", "DOUBLE"):
        return "float"
    if head == "DECIMAL":
        return "decimal"
    if head.endswith("INT") or head in ("INTEGER", "UINTEGER"):
        return "integer"
    if head == "TIMESTAMP WITH TIME ZONE":
        return "instant"
    if head.startswith("TIMESTAMP"):
        return "naive"
    return "date" if head == "DATE" else "text"


def _normalised(field: Field, raw: Raw) -> str:
    """The source's value, or null where it says nothing."""
    kind = _class(raw.type)
    if field.personal is not None and kind != "float":
        # Tokens are made of texts, whatever the column's type.
        return _trimmed(raw)
    if field.kind in (Kind.TEXT, Kind.ID) and kind == "float":
        # pandas writes identifiers with gaps as floats: 1.0 is the identifier 1, NaN is none.
        return (
            f"CASE WHEN isnan({raw.sql}) THEN NULL WHEN isfinite({raw.sql}) AND {raw.sql} = trunc({raw.sql}) "
            f"THEN CAST(TRY_CAST({raw.sql} AS HUGEINT) AS VARCHAR) ELSE CAST({raw.sql} AS VARCHAR) END"
        )
    if kind == "integer" and field.kind in (Kind.TEXT, Kind.ID):
        return f"CAST({raw.sql} AS VARCHAR)"
    if kind == "text" or field.kind in (Kind.TEXT, Kind.ID):
        # Nested values and booleans too: what is no text is judged by how it reads.
        return _trimmed(raw)
    return raw.sql


_BLANKS = "E' '", "E'\\t'", "E'\\r'", "E'\\n'"


def _trimmed(raw: Raw) -> str:
    """A value as text without blanks around it; null where nothing is left."""
    value = raw.sql if raw.type == "VARCHAR" else f"CAST({raw.sql} AS VARCHAR)"
    # `trim` walks through every letter of a text: it is asked only where there is something to trim.
    blank = " OR ".join(f"prefix({value}, {each}) OR suffix({value}, {each})" for each in _BLANKS)
    return f"nullif(CASE WHEN {blank} THEN trim({value}, E' \\t\\r\\n') ELSE {value} END, '')"


def _typed(field: Field, reading: Reading) -> str:
    if field.name not in reading.columns:
        default = "NULL" if field.default is None else text(field.default)
        return f"CAST({default} AS {sql_type(field)})"
    raw = name("r_" + field.name)
    kind = "text" if field.personal is not None else _class(reading.columns[field.name].type)
    to, zone = sql_type(field), text(reading.timezone)
    whole, finite = f"{raw} = trunc({raw})", f"isfinite({raw})"
    match field.kind:
        case Kind.TEXT | Kind.ID:
            value = raw
        case Kind.INTEGER:
            looks = f"regexp_full_match({raw}, {text(_INTEGER)})"
            value = {
                "text": f"CASE WHEN {looks} THEN TRY_CAST({raw} AS {to}) END",
                "integer": f"TRY_CAST({raw} AS {to})",
                "float": f"CASE WHEN {finite} AND {whole} THEN TRY_CAST({raw} AS {to}) END",
                "decimal": f"CASE WHEN {whole} THEN TRY_CAST({raw} AS {to}) END",
            }.get(kind, "NULL")
        case Kind.NUMBER | Kind.MONEY:
            looks = f"regexp_full_match({raw}, {text(_NUMBER)}) AND isfinite(TRY_CAST({raw} AS DOUBLE))"
            value = {
                "text": f"CASE WHEN {looks} THEN TRY_CAST({raw} AS {to}) END",
                "integer": f"TRY_CAST({raw} AS {to})",
                "float": f"CASE WHEN {finite} THEN TRY_CAST({raw} AS {to}) END",
                "decimal": f"TRY_CAST({raw} AS {to})",
            }.get(kind, "NULL")
        case Kind.TIMESTAMP:
            local = f"CASE WHEN {finite} THEN TRY(timezone({zone}, CAST({raw} AS TIMESTAMP))) END"
            value = {
                "text": f"CASE WHEN NOT regexp_full_match({raw}, {text(_TIMESTAMP)}) THEN NULL "
                f"WHEN regexp_matches(substr({raw}, 12), {text(_OFFSET + '$')}) "
                f"THEN TRY_CAST(upper({raw}) AS TIMESTAMPTZ) "
                f"ELSE timezone({zone}, TRY_CAST({raw} AS TIMESTAMP)) END",
                "naive": local,
                "date": local,
                "instant": f"CASE WHEN {finite} THEN {raw} END",
            }.get(kind, "NULL")
        case Kind.DATE:
            day = f"{raw} = date_trunc('day', {raw})"
            value = {
                "text": f"CASE WHEN regexp_full_match({raw}, {text(_DATE)}) "
                f"THEN TRY_CAST(substr({raw}, 1, 10) AS DATE) END",
                "naive": f"CASE WHEN {finite} AND {day} THEN TRY_CAST({raw} AS DATE) END",
                "date": f"CASE WHEN {finite} THEN {raw} END",
            }.get(kind, "NULL")
        case Kind.BOOLEAN:
            looks = f"regexp_full_match(CAST({raw} AS VARCHAR), {text(_BOOLEAN)})"
            value = f"CASE WHEN {looks} THEN TRY_CAST(CAST({raw} AS VARCHAR) AS BOOLEAN) END"
    value = f"CAST({value} AS {to})"
    if field.default is None:
        return value
    return f"CASE WHEN {raw} IS NULL THEN CAST({text(field.default)} AS {to}) ELSE {value} END"


def _field_rules(field: Field, *, given: bool) -> list[tuple[str, str]]:
    """When this column keeps a row out, and the words for it: they name the rule and never the value."""
    if not given:
        return [("true", f"{field.name} is missing")] if field.required else []
    raw, typed = name("r_" + field.name), name("t_" + field.name)
    rules = [(f"{raw} IS NULL", f"{field.name} is missing")] if field.required else []
    if field.kind not in (Kind.TEXT, Kind.ID):
        rules.append((f"{raw} IS NOT NULL AND {typed} IS NULL", f"{field.name} is not {field.kind.value}"))
    if field.minimum is not None:
        rules.append((f"{typed} < {field.minimum!r}", f"{field.name} is below {field.minimum:g}"))
    if field.pattern is not None:
        matches = f"regexp_full_match({typed}, {text(field.pattern)})"
        rules.append((f"NOT {matches}", f"{field.name} does not match {field.pattern}"))
    if field.one_of:
        listed = ", ".join(text(each) for each in field.one_of)
        rules.append((f"{typed} NOT IN ({listed})", f"{field.name} is none of {', '.join(field.one_of)}"))
    return rules


def _time_rules(reading: Reading) -> list[tuple[str, str]]:
    """A clock gone wrong at the source. Feeds may speak of the future, so only interactions are checked."""
    connector = reading.connector
    if not isinstance(connector.becomes, Interaction):
        return []
    limit = instant(reading.now + connector.tolerance)
    hours = connector.tolerance / timedelta(hours=1)
    ahead = f"lies in the future (later than our clock and the tolerance of {hours:g} hours)"
    earliest = f"TIMESTAMPTZ '{EARLIEST_YEAR}-01-01 00:00:00+00'"
    occurred = _compile(connector.becomes.occurred_at, reading)
    columns = ", ".join(connector.becomes.occurred_at.columns())
    keys = connector.becomes.keys
    nobody = " AND ".join(f"{_key(each)} IS NULL" for each in keys)
    named = ", ".join(each.value.name for each in keys)
    unknown = [(nobody, f"none of {named} says who it was")] if len(keys) > 1 else []
    return [
        *unknown,
        (f"{occurred} > {limit}", f"{columns} {ahead}"),
        (f"{occurred} < {earliest}", f"{columns} lies before {EARLIEST_YEAR}"),
        (f"t_received_at > {limit}", f"received_at {ahead}"),
    ]


def _key(key: Key) -> str:
    """A row's key of one kind, or null where it has none of its own."""
    value = f"CAST({name('t_' + key.value.name)} AS VARCHAR)"
    if key.unless is None:
        return value
    return f"CASE WHEN NOT regexp_full_match({value}, {text(key.unless)}) THEN {value} END"


def _version(connector: Connector, key: Key, key_version: int) -> int:
    """The version of the key that made this token; 0 for a key as the source wrote it."""
    field = connector.column(key.value.name)
    return key_version if field.personal is not None else 0


def _first(keys: tuple[Key, ...], results: list[str]) -> str:
    """The result that belongs to the first key that a row has."""
    branches = " ".join(
        f"WHEN {_key(key)} IS NOT NULL THEN {result}" for key, result in zip(keys, results, strict=True)
    )
    return f"CASE {branches} END"


def _key_expressions(reading: Reading) -> dict[str, str]:
    """What `identifiers` needs of a row that may bring several keys."""
    becomes = reading.connector.becomes
    if not isinstance(becomes, Interaction) or not becomes.further_keys:
        return {}
    keys = becomes.keys
    return {f"_key_{number}": _key(key) for number, key in enumerate(keys)} | {
        "_chosen": _first(keys, [str(number) for number in range(len(keys))])
    }


def _identity(connector: Connector, column: Callable[[str], str]) -> str:
    """The deterministic id of a row: its channel, source and natural key."""
    head = text("\x1f".join((connector.name, connector.source_id)))
    parts = ", ".join(f"coalesce(CAST({column(each)} AS VARCHAR), '')" for each in connector.key)
    return f"md5(concat_ws(chr(31), {head}, {parts}))"


def _lake_expressions(reading: Reading) -> dict[str, str]:
    connector, becomes = reading.connector, reading.connector.becomes
    now = instant(reading.now)
    if isinstance(becomes, Feed):
        own = {each.name: name("t_" + each.name) for each in connector.columns}
        brought, assumed = _compile(becomes.known_at, reading), _compile(becomes.assumed_known_at, reading)
        given: dict[str, str] = own
    else:
        given = {key: _compile(value, reading) for key, value in becomes.expressions().items()}
        brought = name("t_received_at")
        usual = f"{given['occurred_at']} + to_seconds({int(becomes.delay.total_seconds())})"
        assumed = given.pop("known_at", usual)
        keys = becomes.keys
        versions = [str(_version(connector, key, reading.key_version)) for key in keys]
        given.setdefault("original_at", given["occurred_at"])
        if isinstance(becomes.interaction_type, str):
            given["interaction_type"] = text(becomes.interaction_type)
        given |= {
            "interaction_id": _identity(connector, lambda column: name("t_" + column)),
            "source_id": text(connector.source_id),
            "channel": text(connector.name),
            "customer_key_type": _first(keys, [text(key.key_type) for key in keys]),
            "customer_key": _first(keys, [_key(key) for key in keys]),
            "_key_version": _first(keys, versions),
        }
    given |= {
        # Nothing can be known before it is known, nor later than now.
        "received_at": f"least(coalesce({brought}, {assumed}), {now})",
        "_known_assumed": f"{brought} IS NULL",
        "_batch_id": text(reading.batch_id),
        "_ingested_at": now,
    }
    return {
        column: f"CAST({given.get(column, 'NULL')} AS {type_})"
        for column, type_ in lake_columns(connector).items()
    }


def _compile(expression: Expression, reading: Reading) -> str:
    match expression:
        case Column(column):
            return name("t_" + column)
        case Constant(value):
            return text(value)
        case Concat(parts, separator):
            joined = f" || {text(separator)} || ".join(
                f"CAST({_compile(part, reading)} AS VARCHAR)" for part in parts
            )
            return f"({joined})"
        case Midnight(column, plus_days):
            day = f"CAST({_compile(column, reading)} + {plus_days} AS TIMESTAMP)"
            return f"timezone({text(reading.timezone)}, {day})"
        case Case(branches, otherwise):
            whens = " ".join(
                "WHEN "
                + " AND ".join(
                    f"CAST({name('t_' + column)} AS VARCHAR) = {text(value)}" for column, value in conditions
                )
                + f" THEN {_compile(result, reading)}"
                for conditions, result in branches
            )
            return f"(CASE {whens} ELSE {_compile(otherwise, reading)} END)"
        case Corrected(column, sent):
            said, sent_at = _compile(column, reading), _compile(sent, reading)
            return f"coalesce({said} + (t_received_at - {sent_at}), {said})"
        case Properties(names, motives):
            given = {each: each for each in names} | ({PROPERTY: motives} if motives is not None else {})
            pairs = ", ".join(f"{text(key)}, {name('t_' + each)}" for key, each in given.items())
            return f"CAST(json_object({pairs}) AS VARCHAR)"
    raise TypeError(f"no SQL for {type(expression).__name__}")
