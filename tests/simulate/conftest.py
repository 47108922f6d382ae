"""One little mall for all tests of this folder, and one way to read it."""

from pathlib import Path

import duckdb
import pytest

from genome.simulate import parameters
from genome.simulate.parameters import Parameters
from genome.simulate.run import Mall, simulate


def little(**run: object) -> Parameters:
    """400 people in two blocks, 35 days: seconds."""
    return parameters.load("small", **({"customers": 400, "days": 35, "block": 200} | run))


@pytest.fixture(scope="session")
def mall_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mall made once."""
    out = tmp_path_factory.mktemp("mall") / "out"
    simulate(little(), 7, out)
    return out


@pytest.fixture(scope="session")
def mall(mall_folder: Path) -> Mall:
    """What it says of itself."""
    return Mall.read(mall_folder)


@pytest.fixture(scope="session")
def lake(mall_folder: Path) -> duckdb.DuckDBPyConnection:
    """Every stream of the mall as a table `channel_stream`, read as a connector would."""
    from genome.simulate.tables import STREAMS

    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.execute("set threads = 1")
    for stream in STREAMS.values():
        files = sorted(str(path) for path in (mall_folder / "inbox" / stream.channel).glob(f"{stream.name}*"))
        reader = {"parquet": "read_parquet", "csv": "read_csv", "jsonl": "read_json"}[
            stream.format.split(".")[0]
        ]
        extra = ", header = true, all_varchar = true" if reader == "read_csv" else ""
        extra += ", union_by_name = true"
        name = stream.key.replace("/", "_")
        connection.execute(f"create table {name} as select * from {reader}({files}{extra})")
    return connection
