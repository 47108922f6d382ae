"""A changed vocabulary is applied to texts that came in before it: `genome texts read`.

    identity vault ──► every text that another version has read ──► motives, noted beside the text
                                                                        │ where they differ from those of its arrival
                                                                        ▼
                                            lake/motives/ (genome/lake/motives.py) ──► dbt: int_motives_named

A run that is killed goes on where it stopped: what was read is noted page by page, and the lake's file is made of the
notes. What comes in meanwhile is read by the vocabulary of the process that takes it; a collector that began before the
vocabulary changed goes on with the former one until it is started anew, and the next run here reads its texts again.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from genome import clock
from genome.identity.texts import Texts
from genome.identity.vault import Vault
from genome.lake import files, layout, motives
from genome.settings import Settings
from genome.vocabulary import CHANNELS
from genome.vocabulary import motives as vocabulary_of_motives


@dataclass(frozen=True)
class Reread:
    """What a run did.

    Attributes:
        vocabulary: the version that texts are read with now.
        read: texts that another version had read last.
        changed: texts among them that say something else than at their last reading.
        is_new: the next build finds other motives than the last one could.
    """

    vocabulary: str
    read: int
    changed: int
    is_new: bool

    def summary(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def reread(settings: Settings, *, on_read: Callable[[int, int], None] | None = None) -> Reread:
    """Read every text anew that another version of the vocabulary has read last.

    Args:
        settings: where vault and lake are.
        on_read: called with how many texts are read, and how many there were to read.

    Raises:
        GenomeError: the vocabulary cannot be read, or a text does not open with the vault's key.
    """
    import pyarrow as pa

    vocabulary = vocabulary_of_motives()
    with _texts(settings) as texts:
        total = texts.unread(vocabulary.version)
        read = changed = 0
        while page := texts.next_unread(vocabulary.version, reader="vocabulary"):
            said = vocabulary.said_of_all(pa.array([each.text for each in page], pa.string())).to_pylist()
            readings = [(each.interaction_id, now) for each, now in zip(page, said, strict=True)]
            texts.note(readings, vocabulary=vocabulary.version)
            read += len(page)
            changed += sum(each.motives != now for each, now in zip(page, said, strict=True))
            if on_read is not None:
                on_read(read, max(total, read))
        is_new = _tell_the_lake(settings, texts)
    return Reread(vocabulary.version, read, changed, is_new)


def forget(settings: Settings, source_keys: Iterable[str]) -> int:
    """Erase what was written under source keys, from the vault and from the lake's corrections. Returns how many texts.

    The former file of corrections is gone when this returns; a build that was reading it fails and is run again.

    Args:
        settings: where vault and lake are.
        source_keys: `<type>:<key>`; every other token of the same identifiers is meant as well.
    """
    with _texts(settings) as texts:
        removed = texts.forget(source_keys)
        _tell_the_lake(settings, texts, is_final=True)
    return removed


@contextmanager
def _texts(settings: Settings) -> Iterator[Texts]:
    """The vault's texts, with nobody else who reads them anew or tells the lake."""
    with files.exclusive(layout.lock_file(settings, "texts"), patience_seconds=1800):
        vault = Vault(settings)
        try:
            yield Texts(vault)
        finally:
            vault.close()


def _tell_the_lake(settings: Settings, texts: Texts, *, is_final: bool = False) -> bool:
    return motives.replace(
        settings,
        # Of other channels motives are no evidence, neither live nor in a build.
        texts.corrected(CHANNELS),
        vocabulary=vocabulary_of_motives().version,
        now=clock.now(settings),
        is_final=is_final,
    )
