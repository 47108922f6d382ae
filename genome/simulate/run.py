"""Makes a mall: the world once, then block after block of people, each written and forgotten."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from genome.errors import UsageError
from genome.simulate import behaviour, identity, people, purchases, truth
from genome.simulate import world as worlds
from genome.simulate.calendar import Calendar, calendar
from genome.simulate.channels import contacts, feeds, online, records, store, voice
from genome.simulate.channels.scene import Scene
from genome.simulate.parameters import Parameters
from genome.simulate.sink import LIVE_FOLDER, Sink, Written
from genome.simulate.tables import FEEDS
from genome.simulate.world import World

SUMMARY = "mall.json"
MARK = ".mall"
"""Says that this folder is ours to replace, also when a run broke off."""
IN_PROCESS = 4000
"""Up to so many people the start of worker processes would cost more than they save."""

Progress = Callable[[int, int], None]
"""Called with (people done, people in all)."""


class Mall(BaseModel):
    """What a run made: `mall.json`."""

    seed: int
    cut_off: datetime
    timezone: str
    customers: int
    days: int
    interactions: int
    rows: dict[str, int]
    undelivered: dict[str, int]
    live: dict[str, int]
    doubled: dict[str, int]
    broken: dict[str, int]
    files: int
    bytes: int
    fingerprint: str
    parameters: dict[str, Any]
    sha256: dict[str, str]

    @classmethod
    def read(cls, out: Path) -> "Mall":
        """The summary of a run in a folder."""
        path = out / SUMMARY
        if not path.is_file():
            raise UsageError(
                f"{out} holds no mall ({SUMMARY} is missing).", "Run `genome simulate --out` first."
            )
        return cls.model_validate_json(path.read_text())


@dataclass(frozen=True)
class BlockResult:
    """What one block wrote."""

    block: int
    people: int
    files: list[Written]
    undelivered: dict[str, int]
    live: dict[str, int]
    doubled: dict[str, int]
    broken: dict[str, int]


def simulate(parameters: Parameters, seed: int, out: Path, progress: Progress | None = None) -> Mall:
    """Make a mall in a folder.

    Args:
        parameters: the parameter file.
        seed: the same seed gives the same bytes, however many workers share the work.
        out: an empty or new folder, or one that holds a mall, which is replaced.
        progress: told how far it is.
    """
    _clear(out)
    run = parameters.run
    days, world = _surroundings(parameters.model_dump_json(), seed)
    files = feeds.emit(parameters, world, days, out)
    total = -(-run.customers // run.block)
    undelivered: Counter[str] = Counter()
    live: Counter[str] = Counter()
    doubled: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    done = 0
    work = [(parameters.model_dump_json(), seed, number, str(out)) for number in range(total)]
    for result in _blocks(work, run.workers if run.customers > IN_PROCESS else 1):
        files += result.files
        undelivered.update(result.undelivered)
        live.update(result.live)
        doubled.update(result.doubled)
        broken.update(result.broken)
        done += result.people
        if progress:
            progress(done, run.customers)
    files.sort(key=lambda file: file.path)
    rows: dict[str, int] = {}
    for file in files:
        _, channel, name = file.path.split("/")
        key = f"{channel}/{name.partition('.')[0].partition('-')[0]}"
        rows[key] = rows.get(key, 0) + file.rows
    digest = hashlib.sha256("".join(f"{file.path} {file.sha256}\n" for file in files).encode()).hexdigest()
    mall = Mall(
        seed=seed,
        cut_off=datetime.fromtimestamp(days.cut_off / 1000, UTC),
        timezone=run.timezone,
        customers=run.customers,
        days=run.days,
        interactions=sum(count for key, count in rows.items() if key.partition("/")[0] not in FEEDS)
        + sum(live.values()),
        rows=dict(sorted(rows.items())),
        undelivered=dict(sorted(undelivered.items())),
        live=dict(sorted(live.items())),
        doubled=dict(sorted(doubled.items())),
        broken=dict(sorted(broken.items())),
        files=len(files),
        bytes=sum(file.bytes for file in files),
        fingerprint=digest,
        parameters=json.loads(parameters.model_dump_json()),
        sha256={file.path: file.sha256 for file in files},
    )
    (out / SUMMARY).write_text(mall.model_dump_json(indent=1) + "\n")
    return mall


def world_of(parameters: Parameters, seed: int) -> World:
    """What all blocks share: the same for the same parameters and seed."""
    return _surroundings(parameters.model_dump_json(), seed)[1]


def scene_of(parameters: Parameters, seed: int, block: int, out: Path) -> Scene:
    """One block with everything that happened to it, before anything is written."""
    run = parameters.run
    days, world = _surroundings(parameters.model_dump_json(), seed)
    first = block * run.block
    crowd = people.build(parameters, world, seed, block, first, min(run.block, run.customers - first))
    history = behaviour.live(parameters, world, days, crowd, seed, block)
    bought = purchases.buy(parameters, world, days, crowd, history, seed, block)
    known = identity.build(parameters, days, crowd, seed, block)
    sink = Sink.of_block(out, parameters, days, seed, block)
    return Scene(parameters, world, days, crowd, known, history, bought, seed, block, sink)


@lru_cache(maxsize=2)
def _surroundings(parameters: str, seed: int) -> tuple[Calendar, World]:
    """What all blocks share, made once in each process."""
    values = Parameters.model_validate_json(parameters)
    days = calendar(values)
    return days, worlds.build(values, seed, days)


def _block(work: tuple[str, int, int, str]) -> BlockResult:
    parameters, seed, number, out = work
    scene = scene_of(Parameters.model_validate_json(parameters), seed, number, Path(out))
    for channel in (store, online, contacts, records, voice):
        channel.emit(scene)
    truth.write(scene, Path(out))
    sink = scene.sink
    return BlockResult(
        number, scene.people.count, sink.files, sink.undelivered, sink.live, sink.doubled, sink.broken
    )


def _blocks(work: list[tuple[str, int, int, str]], workers: int) -> Any:
    if workers == 1 or len(work) == 1:
        yield from map(_block, work)
        return
    # Fresh processes: a forked child would inherit Arrow's threads, and with them their locks.
    with ProcessPoolExecutor(min(workers, len(work)), mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(_block, each) for each in work]
        for done in as_completed(waiting):
            yield done.result()


def _clear(out: Path) -> None:
    """Remove an earlier mall; never anything else."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).exists():
            raise UsageError(f"{out} is not empty and holds no mall.", "Name a new or an empty folder.")
        for name in ("inbox", LIVE_FOLDER, truth.FOLDER):
            shutil.rmtree(out / name, ignore_errors=True)
        (out / SUMMARY).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()
