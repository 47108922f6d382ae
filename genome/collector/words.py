"""What a person wrote in an event: its motives go on, the words go to the vault alone.

Words are looked for at whatever depth an SDK sends them. Everything in a field of words leaves the record; only what
the person said themselves is heard.
"""

from typing import Any

from genome import vocabulary


def without_words(properties: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The properties of a text event with motives in place of words; and the words, "" where the person said none."""
    said: list[str] = []
    kept: dict[str, Any] = _unsaid(properties, said)
    words = "\n".join(said)
    found = vocabulary.motives().said(words)
    return kept if found is None else {**kept, vocabulary.PROPERTY: found}, words


def _unsaid(
    value: Any, said: list[str], *, is_words: bool = False, is_heard: bool = True, is_top: bool = True
) -> Any:
    """A value without the strings of fields that hold words; numbers and ticks stay.

    What the person said is added to `said`, in the order of the fields' names. What stands beside it (a question of the
    form, an agent's answer, the name of a product) is left out, too, but it is nobody's motive and not kept.
    """
    if isinstance(value, dict):
        is_heard = is_heard and value.get("author") != vocabulary.AGENT
        kept = {}
        for key in sorted(value):
            mine = is_words or key in vocabulary.TEXT_FIELDS
            heard = is_heard and (is_top or not (key in vocabulary.NOT_SAID or key.endswith("_id")))
            if not (mine and isinstance(value[key], str)):
                kept[key] = _unsaid(value[key], said, is_words=mine, is_heard=heard, is_top=False)
            elif heard:
                said.append(value[key])
        return {key: kept[key] for key in value if key in kept}
    if isinstance(value, list):
        if is_words:
            said += [each for each in value if isinstance(each, str) and is_heard]
            value = [each for each in value if not isinstance(each, str)]
        return [_unsaid(each, said, is_words=is_words, is_heard=is_heard, is_top=False) for each in value]
    return value
