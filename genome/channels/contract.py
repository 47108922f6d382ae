"""The words a connector is written in: which columns its files have, and what each row becomes.

A connector is a value, so it can be read, printed into the docs and compared. It holds no SQL and no code:
`genome.lake.compiler` turns its expressions into DuckDB SQL. Mistakes are found when a connector is made.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")


class Kind(StrEnum):
    """What a column's values are. The text is what an error calls them."""

    TEXT = "text"
    ID = "an identifier"
    INTEGER = "a whole number"
    NUMBER = "a finite number"
    MONEY = "an amount of money"
    TIMESTAMP = "a date and time (ISO 8601, with an offset or in the contract's time zone)"
    DATE = "a date (YYYY-MM-DD)"
    BOOLEAN = "true or false"


class Personal(StrEnum):
    """What a column says about a person. Its values are replaced before anything is written or logged.

    By a keyed token, whose raw value only the identity vault keeps; but of a BIRTH date only the year is
    left, in a TEXT only the e-mail addresses and card numbers are replaced, where they stand, and of WORDS, which
    a person wrote to us, nothing is left but the motives that the vocabulary recognises in them; the words lie sealed
    in the identity vault.
    """

    EMAIL = "email"
    PHONE = "phone"
    NAME = "name"
    ADDRESS = "address"
    CARD = "card"
    ACCOUNT = "account"
    BIRTH = "birth"
    TEXT = "text"
    WORDS = "words"


@dataclass(frozen=True)
class Field:
    """One column of the source's files.

    Attributes:
        name: as in the file's header.
        kind: what its values are.
        description: for the reference page, in one sentence.
        required: the column must be there, and each row must fill it.
        default: stands in where an optional column is missing or empty.
        minimum: the smallest value that is let in.
        pattern: a regular expression that the whole text must match.
        one_of: the only values that are let in.
        personal: what it says about a person.
    """

    name: str
    kind: Kind
    description: str
    required: bool = True
    default: str | None = None
    minimum: float | None = None
    pattern: str | None = None
    one_of: tuple[str, ...] = ()
    personal: Personal | None = None

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.name):
            raise ValueError(f"field '{self.name}': write its name in lower case, as in snake_case")
        if self.required and self.default is not None:
            raise ValueError(f"field '{self.name}': a required column has no default")
        if self.one_of and self.kind is not Kind.TEXT:
            raise ValueError(f"field '{self.name}': only a text has a list of values")
        wanted = Kind.INTEGER if self.personal is Personal.BIRTH else Kind.TEXT
        if self.personal is not None and self.kind is not wanted:
            raise ValueError(f"field '{self.name}': what is left of a {self.personal} is {wanted.value}")


RECEIVED_AT = Field(
    "received_at",
    Kind.TIMESTAMP,
    "When the platform was given the row, where the file knows it.",
    required=False,
)
"""Any file may bring this column; without it the known time is assumed from the connector's own words."""


class Expression:
    """Something that gives one value for each row of the file."""

    def columns(self) -> Iterator[str]:
        """The columns of the file that it reads."""
        return iter(())


@dataclass(frozen=True)
class Column(Expression):
    """The value of a column of the contract."""

    name: str

    def columns(self) -> Iterator[str]:
        """The column itself."""
        yield self.name


@dataclass(frozen=True)
class Constant(Expression):
    """The same text in each row."""

    value: str


@dataclass(frozen=True)
class Concat(Expression):
    """Texts joined by a separator; null where one of them is null."""

    parts: tuple[Expression, ...]
    separator: str = "-"

    def columns(self) -> Iterator[str]:
        """Those of the parts."""
        for part in self.parts:
            yield from part.columns()


@dataclass(frozen=True)
class Midnight(Expression):
    """The instant at which the day of a DATE column begins on the source's clock, plus whole days."""

    column: Column
    plus_days: int = 0

    def columns(self) -> Iterator[str]:
        """The date's."""
        yield from self.column.columns()


@dataclass(frozen=True)
class Properties(Expression):
    """A JSON object of some columns: what the interaction says beyond the common columns.

    Attributes:
        names: the columns; each keeps its name.
        motives: a column of WORDS, whose motives the object names as `_motives`.
    """

    names: tuple[str, ...]
    motives: str | None = None

    def columns(self) -> Iterator[str]:
        """Those named."""
        yield from self.names
        if self.motives is not None:
            yield self.motives


@dataclass(frozen=True)
class Case(Expression):
    """The first branch whose columns all hold the texts named with them; else something else.

    Attributes:
        branches: pairs of conditions (column, value) and of what the row gets where all of them hold.
    """

    branches: tuple[tuple[tuple[tuple[str, str], ...], Expression], ...]
    otherwise: Expression

    def columns(self) -> Iterator[str]:
        """Those of the conditions and of the results."""
        for conditions, result in self.branches:
            yield from (column for column, _ in conditions)
            yield from result.columns()
        yield from self.otherwise.columns()


@dataclass(frozen=True)
class Corrected(Expression):
    """A time by the sender's clock, set right by what that clock showed when the row was sent.

    The sender's clock was wrong by `sent` minus `received_at`; where one of the two is not known, the time is
    taken as it stands. The collector corrects live events in the same way.
    """

    column: Column
    sent: Column

    def columns(self) -> Iterator[str]:
        """Both of the sender's times, and ours."""
        yield from (self.column.name, self.sent.name, RECEIVED_AT.name)


@dataclass(frozen=True)
class Key:
    """One more way in which a row may say who it was.

    Attributes:
        key_type: what kind of key it is: `anonymous`, `email`, `loyalty_card` …
        value: the key.
        unless: a regular expression of values that are nobody's own (a card that belongs to the till).
        is_last_resort: it names the event and no person (a receipt), so it serves where nothing else is
            known, and is no further identifier of anybody.
    """

    key_type: str
    value: Column
    unless: str | None = None
    is_last_resort: bool = False


@dataclass(frozen=True)
class Interaction:
    """What each row becomes in `lake/interactions/`; an expression left out is null.

    Attributes:
        interaction_type: the event's name (Segment's e-commerce spec, where it has one), or what gives it.
        occurred_at: when it happened.
        customer_key_type: what kind of key identifies the customer: `household`, `email` …
        customer_key: that key.
        customer_key_unless: a regular expression of values of that key that are nobody's own.
        further_keys: other keys that a row may bring. The first of all that is there is the customer's key;
            the others land in `lake/identifiers/`.
        delay: how long after the event the platform usually knows of it.
        known_at: when it could be known at the earliest, in place of `occurred_at` + `delay`.
        original_at: when it happened as the source first said; left out: `occurred_at`.
    """

    interaction_type: str | Expression
    occurred_at: Expression
    customer_key_type: str
    customer_key: Column
    further_keys: tuple[Key, ...] = ()
    customer_key_unless: str | None = None
    delay: timedelta = timedelta(0)
    known_at: Expression | None = None
    original_at: Expression | None = None
    sent_at: Expression | None = None
    session_id: Expression | None = None
    product_id: Expression | None = None
    offer_id: Expression | None = None
    store_id: Expression | None = None
    seller_id: Expression | None = None
    quantity: Expression | None = None
    amount: Expression | None = None
    currency: Expression | None = None
    properties: Expression | None = None

    def expressions(self) -> dict[str, Expression]:
        """Every expression that is given, by its name."""
        named = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in named if isinstance(value, Expression)}

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every key, in the order in which they are asked."""
        first = Key(self.customer_key_type, self.customer_key, unless=self.customer_key_unless)
        return (first, *self.further_keys)

    def columns(self) -> Iterator[str]:
        """Every column of the file that it reads."""
        for each in (*self.expressions().values(), *(key.value for key in self.further_keys)):
            yield from each.columns()


@dataclass(frozen=True)
class Feed:
    """What each row becomes in `lake/catalog/<feed>/`: the contract's own columns, under their own names.

    Attributes:
        known_at: a column of the file that says when the row was delivered; where a row leaves it empty,
            `assumed_known_at` stands in and the row is marked.
        assumed_known_at: the column that stands in, for historical imports.
    """

    assumed_known_at: Column
    known_at: Column = Column(RECEIVED_AT.name)

    def expressions(self) -> dict[str, Expression]:
        """Every expression, by its name."""
        return {"assumed_known_at": self.assumed_known_at, "known_at": self.known_at}

    def columns(self) -> Iterator[str]:
        """Every column of the file that it needs."""
        for each in self.expressions().values():
            yield from each.columns()


@dataclass(frozen=True)
class Connector:
    """One kind of file from one channel: its contract, and what its rows become.

    Attributes:
        name: the channel's or feed's name, and the name of its Python file.
        title: what people call it.
        description: what it brings, for the reference page.
        columns: the contract.
        key: the columns that tell one row from every other, for ever; they make the interaction's id.
        becomes: an interaction, or a row of a feed.
        source_id: which system delivers the files.
        timezone: of times without an offset; None takes the retailer's own (`business_timezone`).
        encoding: of CSV and JSON lines: `utf-8` or `latin-1`.
        tolerance: how far ahead of our clock an event may lie before it is set aside.
        calling_code: of telephone numbers that are written without a country's code: `1`, `44` …
        stream: what the names of its files begin with, up to the first `-` or `.`.
        others: the channel's other kinds of files, each with a `stream` of its own. A file whose name begins
            with none of them is one of this connector's.
    """

    name: str
    title: str
    description: str
    columns: tuple[Field, ...]
    key: tuple[str, ...]
    becomes: Interaction | Feed
    source_id: str
    timezone: str | None = None
    encoding: str = "utf-8"
    tolerance: timedelta = field(default=timedelta(hours=24))
    calling_code: str | None = None
    stream: str | None = None
    others: tuple["Connector", ...] = ()

    def __post_init__(self) -> None:
        names = [each.name for each in self.columns]
        if not _IDENTIFIER.fullmatch(self.name):
            raise ValueError(f"connector '{self.name}': write its name in lower case, as in snake_case")
        if len(set(names)) != len(names):
            raise ValueError(f"connector '{self.name}' names a column twice")
        used = set(self.becomes.columns())
        unknown = sorted((used | set(self.key)) - {*names, RECEIVED_AT.name})
        if unknown:
            raise ValueError(
                f"connector '{self.name}' uses columns that its contract lacks: {', '.join(unknown)}"
            )
        if not self.key:
            raise ValueError(f"connector '{self.name}' needs a key: the columns that tell its rows apart")
        personal = {each.name for each in self.columns if each.personal is not None}
        if personal & set(self.key):
            # A token changes with its key, and the row's id must not.
            raise ValueError(f"connector '{self.name}': its key may hold nothing personal")
        if personal and isinstance(self.becomes, Feed):
            raise ValueError(f"connector '{self.name}': a feed is about things and holds nothing personal")
        read = getattr(self.becomes, "properties", None)
        words = {each.name for each in self.columns if each.personal is Personal.WORDS}
        if words != {read.motives} - {None} if isinstance(read, Properties) else words:
            raise ValueError(
                f"connector '{self.name}': WORDS are read for the motives of its properties only"
            )
        for name, expression in self.becomes.expressions().items():
            if isinstance(expression, Midnight) and self.column(expression.column.name).kind is not Kind.DATE:
                raise ValueError(
                    f"connector '{self.name}': {name} takes the midnight of a column that is no DATE"
                )
        if self.encoding not in ("utf-8", "latin-1"):
            raise ValueError(f"connector '{self.name}': encoding '{self.encoding}' is not utf-8 or latin-1")
        self._check_streams()

    def _check_streams(self) -> None:
        if not self.others:
            return
        streams = [each.stream for each in self.streams]
        if None in streams or len(set(streams)) != len(streams):
            raise ValueError(f"connector '{self.name}': each kind of file needs a stream of its own")
        if len({each.source_id for each in self.streams}) != len(streams):
            # The id of a row is made from it: two kinds of rows may have the same key.
            raise ValueError(f"connector '{self.name}': each kind of file needs a source_id of its own")
        for each in self.others:
            if each.name != self.name or each.dataset != self.dataset or each.others:
                raise ValueError(f"connector '{self.name}': '{each.stream}' is of another channel")

    @property
    def contract(self) -> tuple[Field, ...]:
        """Every column that is read: the connector's own, and `received_at`, which any file may bring.

        A feed that has another column for it (`announced_at`) brings that one.
        """
        elsewhere = isinstance(self.becomes, Feed) and self.becomes.known_at.name != RECEIVED_AT.name
        own = any(each.name == RECEIVED_AT.name for each in self.columns)
        return self.columns if own or elsewhere else (*self.columns, RECEIVED_AT)

    @property
    def streams(self) -> tuple["Connector", ...]:
        """Every kind of file of the channel, this one first."""
        return (self, *self.others)

    def of(self, file_name: str) -> "Connector":
        """The connector of one file of the channel, told by how its name begins."""
        first = re.split(r"[-.]", file_name.rsplit("/", 1)[-1], maxsplit=1)[0]
        return next((each for each in self.others if each.stream == first), self)

    @property
    def personal(self) -> tuple[Field, ...]:
        """The columns that say something about a person."""
        return tuple(each for each in self.columns if each.personal is not None)

    @property
    def dataset(self) -> str:
        """Where its rows land: `interactions`, or `catalog` for a feed."""
        return "interactions" if isinstance(self.becomes, Interaction) else "catalog"

    @property
    def fingerprint(self) -> str:
        """Changes whenever the connector does; committed beside what it landed."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def column(self, name: str) -> Field:
        """One column of the contract."""
        return next(each for each in self.contract if each.name == name)
