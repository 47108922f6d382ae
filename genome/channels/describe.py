"""A connector in words, for the reference page."""

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

_KINDS = {
    Kind.TEXT: "text",
    Kind.ID: "identifier",
    Kind.INTEGER: "whole number",
    Kind.NUMBER: "number",
    Kind.MONEY: "money",
    Kind.TIMESTAMP: "date and time",
    Kind.DATE: "date",
    Kind.BOOLEAN: "true or false",
}
_LEFT = {
    Personal.BIRTH: "only the year is kept",
    Personal.TEXT: "e-mail addresses and card numbers in it become tokens",
    Personal.WORDS: "the motives that the vocabulary recognises in it come in; the words lie in the identity vault",
}


def describe(connector: Connector) -> str:
    """The Markdown section of one connector: the columns of its files, and what becomes of them.

    A channel with several kinds of files has one part for each of them.
    """
    return "\n".join(_describe(each, is_first=each is connector) for each in connector.streams)


def _describe(connector: Connector, *, is_first: bool) -> str:
    zone = f"`{connector.timezone}`" if connector.timezone else "the retailer's (`GENOME_BUSINESS_TIMEZONE`)"
    head = f"## `{connector.name}`: {connector.title}" if is_first else f"### {connector.title}"
    if connector.stream is None:
        names = ""
    elif is_first:
        names = f"Files: `{connector.stream}…`, and all whose names begin like none of the channel's others. "
    else:
        names = f"Files: `{connector.stream}-…` or `{connector.stream}.…`. "
    lines = [
        head,
        "",
        connector.description,
        "",
        f"{names}Key: {', '.join(f'`{name}`' for name in connector.key)}. "
        f"Times without an offset are {zone}. Text is {connector.encoding.upper()}.",
        "",
        "| column | type | required | meaning |",
        "| --- | --- | --- | --- |",
        *(
            f"| `{each.name}` | {_KINDS[each.kind]} | {_requirement(each)} | {each.description} |"
            for each in connector.contract
        ),
        "",
    ]
    if isinstance(connector.becomes, Feed):
        lines.append(
            f"Each row lands in `lake/catalog/{connector.name}/` as it is. It is known from "
            f"`{connector.becomes.known_at.name}` on, or, where that is empty, from "
            f"`{connector.becomes.assumed_known_at.name}` on (marked as assumed)."
        )
    else:
        lines += [
            f"Each row lands in `lake/interactions/` as {_event(connector.becomes.interaction_type)}, "
            f"for the customer key {_keys(connector.becomes)}:",
            "",
            "| interaction | from the file |",
            "| --- | --- |",
            *(
                f"| `{name}` | {_words(expression)} |"
                for name, expression in connector.becomes.expressions().items()
                if name not in ("interaction_type", "customer_key")
            ),
        ]
        hours = connector.becomes.delay.total_seconds() / 3600
        usual = (
            _words(connector.becomes.known_at)
            if connector.becomes.known_at
            else f"{hours:g} hours after it happened"
            if hours
            else "the moment it happened"
        )
        lines += [
            "",
            f"Known from `received_at` on, or, where the file does not say, from {usual} (assumed).",
        ]
    return "\n".join(lines) + "\n"


def _event(interaction_type: str | Expression) -> str:
    return f"**{interaction_type}**" if isinstance(interaction_type, str) else _words(interaction_type)


def _keys(becomes: Interaction) -> str:
    def words(key: Key) -> str:
        unless = f" unless it matches `{key.unless}`" if key.unless else ""
        return f"`{key.key_type}` (`{key.value.name}`{unless})"

    listed = ", else ".join(words(key) for key in becomes.keys)
    if any(not key.is_last_resort for key in becomes.further_keys):
        listed += "; a row's other keys land in `lake/identifiers/`"
    return listed


def _requirement(each: Field) -> str:
    extra = []
    if each.personal is not None:
        extra.append(_LEFT.get(each.personal, f"becomes a token `{each.personal}_…`"))
    if each.one_of:
        extra.append("one of " + ", ".join(f"`{value}`" for value in each.one_of))
    if each.minimum is not None:
        extra.append(f"at least {each.minimum:g}")
    if each.pattern is not None:
        # A bar inside a table cell would end the cell.
        extra.append("matches `" + each.pattern.replace("|", "\\|") + "`")
    first = "yes" if each.required else f"no, else `{each.default}`" if each.default is not None else "no"
    return "; ".join([first, *extra])


def _words(expression: Expression) -> str:
    match expression:
        case Column(name):
            return f"`{name}`"
        case Constant(value):
            return f"always `{value}`"
        case Concat(parts, separator):
            return f"{', '.join(_words(part) for part in parts)} joined by `{separator}`"
        case Midnight(column, 0):
            return f"the start of the day of `{column.name}`"
        case Midnight(column, plus_days):
            return (
                f"the start of the day of `{column.name}`, plus {plus_days} day{'s' if plus_days > 1 else ''}"
            )
        case Case(branches, otherwise):
            cases = [
                f"{_words(result)} where "
                + " and ".join(f"`{column}` is `{value}`" for column, value in conditions)
                for conditions, result in branches
            ]
            return "; ".join([*cases, f"else {_words(otherwise)}"])
        case Corrected(column, sent):
            return f"`{column.name}`, set right by the difference of `received_at` and `{sent.name}`"
        case Properties(names):
            return "JSON of " + ", ".join(f"`{name}`" for name in names)
    raise TypeError(f"no words for {type(expression).__name__}")
