"""How fast the mall is made: interactions a second and peak memory, beside what Arrow alone writes.

python benchmarks/simulate.py --customers 100000 --days 90 --json
"""

import argparse
import json
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from genome.simulate import parameters
from genome.simulate.run import simulate

RESULTS = Path(__file__).parent / "results"


class PeakMemory(threading.Thread):
    """Samples the resident memory of this process and its children."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._over = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.2):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self.peak


def raw_rate(out: Path) -> float:
    """Rows a second that Arrow writes of the mall's widest common rows, from memory, one core."""
    table = pq.read_table(sorted((out / "inbox" / "pos").glob("lines-*.parquet"))[0])
    begun = time.perf_counter()
    rounds = 5
    for number in range(rounds):
        pq.write_table(table, out / f"raw-{number}.parquet", compression="zstd", compression_level=1)
    return rounds * len(table) / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--preset", default="large")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="keep the mall here (default: a temporary folder)")
    parser.add_argument("--name", default="simulate", help="benchmarks/results/<name>.json")
    parser.add_argument("--json", action="store_true", help="print the result")
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp()) / "mall"
    values = parameters.load(
        options.preset, customers=options.customers, days=options.days, workers=options.workers
    )
    load = psutil.getloadavg()[0]
    memory = PeakMemory()
    memory.start()
    begun = time.perf_counter()
    mall = simulate(
        values, 1, out, lambda done, total: print(f"\r{done:,} of {total:,} people", end="", file=sys.stderr)
    )
    seconds = time.perf_counter() - begun
    peak = memory.stop()
    cpu = sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    raw = raw_rate(out)
    rate = mall.interactions / seconds
    sha = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    result = {
        "what": "simulate",
        "customers": options.customers,
        "days": options.days,
        "interactions": mall.interactions,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "interactions_per_second": round(rate),
        "raw_parquet_rows_per_second": round(raw),
        "ratio": round(rate / raw, 4),
        "peak_memory_mb": round(peak / 2**20),
        "bytes": mall.bytes,
        "fingerprint": mall.fingerprint,
        "workers": options.workers,
        "load_before": round(load, 2),
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}",
        "git": sha.stdout.strip(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{options.name}.json").write_text(json.dumps(result, indent=2) + "\n")
    if options.json:
        print(json.dumps(result, indent=2))
    if not options.out:
        shutil.rmtree(out.parent)


if __name__ == "__main__":
    main()
