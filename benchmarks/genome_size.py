"""What a build costs at size: a build of everything, an incremental day, a day of late arrivals; beside raw DuckDB.

    python benchmarks/genome_size.py --customers 10000 100000 --days 90 --json
    python benchmarks/genome_size.py --customers 1000000 --days 52 --memory 9GB
    python benchmarks/genome_size.py --customers 100000 --days 365 --no-raw     (what a longer history costs a day)
    python benchmarks/genome_size.py --docs                            (table and picture of what was measured)

Each size is measured on a lake of the mall's shape (`plain_lake.py`); results of other sizes in the file stay. A day is
`genome build`: dbt with its tests, and the export of what is published; the gate is timed beside it. The raw day is
`raw_genome.py`, which has no gate. Days are medians of `--repeat`, one after the other.
"""

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plain_lake
import psutil
from simulate import PeakMemory

from expectations import gate
from genome import warehouse
from genome.lake import layout, publish
from genome.settings import PROJECT_ROOT, Settings

RESULTS = Path(__file__).parent / "results" / "genome.json"
PAGE = PROJECT_ROOT / "docs" / "size.md"
PICTURE = PROJECT_ROOT / "docs" / "size.svg"


def measured(settings: Settings, *, full: bool) -> dict[str, Any]:
    """One build, staged and published; seconds, peak memory, and why it began anew if it did."""
    memory = PeakMemory()
    memory.start()
    begun = time.perf_counter()
    report = warehouse.build(settings, full=full, force=True)
    built = time.perf_counter()
    warehouse.stage(settings)
    ended = time.perf_counter()
    gate.check(settings)
    judged = time.perf_counter()
    peak = memory.stop()
    published = publish.publish_staged(settings, "genome")
    publish.prune(settings, "genome", keep=1)
    genes = published.table("genome")
    if bool(report.anew) != full:
        raise SystemExit(f"A build that should {'begin anew' if full else 'continue'}: {report.anew!r}")
    slowest = sorted(report.of("model"), key=lambda node: -node.seconds)[:5]
    return {
        "seconds": round(ended - begun, 1),
        "dbt_seconds": round(built - begun, 1),
        "export_seconds": round(ended - built, 1),
        "gate_seconds": round(judged - ended, 1),
        "peak_memory_mb": round(peak / 2**20),
        "slowest": {node.name: round(node.seconds, 1) for node in slowest},
        # what the build's own rows of `genome` are: the genes of whom it touched
        "gene_rows": genes.parts[-1].rows if genes.has_deltas else genes.rows,
    }


def told(settings: Settings, name: str) -> Path:
    """What the build that has just ended was told, kept for the raw one."""
    folder = settings.home / "told" / name
    folder.mkdir(parents=True)
    for file in ("lake_files.json", "clock.json"):
        shutil.copy(settings.home / "dbt" / file, folder)
    current = publish.current(settings, "genome")
    if current is None:
        raise SystemExit("The build has published nothing.")
    [dna] = current.files("dim_product_dna")
    shutil.copy(dna, folder / "dna.parquet")
    return folder


def raw(settings: Settings, told: Path, *, day: bool) -> dict[str, Any]:
    """The same by hand, in a process of its own."""
    call = [
        sys.executable,
        str(Path(__file__).with_name("raw_genome.py")),
        str(told),
        str(settings.home / "raw"),
    ]
    call += ["--memory", settings.memory_limit, *(["--day"] if day else [])]
    memory = PeakMemory()
    memory.start()
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return {"seconds": found["seconds"], "peak_memory_mb": round(memory.stop() / 2**20)}


def size(
    customers: int, days: int, repeat: int, memory_limit: str, folder: Path, *, beside_raw: bool
) -> dict[str, Any]:
    """One size, from its lake to its last day; then the same by hand, after what the platform made has gone (of 100
    million interactions two warehouses do not fit on a small disk)."""
    shape = plain_lake.Shape(customers, days)
    home = folder / f"{customers}-{days}"

    def settings_of(later: int) -> Settings:
        return Settings(home=home, now=plain_lake.now(shape, later), memory_limit=memory_limit)

    def say(what: str) -> None:
        print(
            f"{datetime.now(UTC):%H:%M:%S} {customers:,} customers, {days} days: {what}",
            file=sys.stderr,
            flush=True,
        )

    begun_at = psutil.getloadavg()[1]
    say("making the lake")
    interactions = plain_lake.write_history(settings_of(0), shape)
    say(f"a build of everything ({interactions:,} interactions)")
    full = measured(settings_of(0), full=True)
    say(f"{full}")
    inputs = [told(settings_of(0), "full")]
    kept: list[dict[str, Any]] = []
    rows = 0
    for number in range(repeat):
        rows = plain_lake.write_days(settings_of(number + 1), shape, days + number, 1, f"next{number}")
        say(f"day {number + 1} ({rows:,} interactions)")
        kept.append(measured(settings_of(number + 1), full=False))
        say(f"{kept[-1]}")
        inputs.append(told(settings_of(number + 1), f"day{number + 1}"))
    # Of a day of last week twice as many as were known come, and those that were known come again.
    late = settings_of(repeat + 1)
    busier = plain_lake.Shape(customers, days, active=120)
    late_rows = plain_lake.write_days(late, busier, days - 5, 1, "late", late_days=repeat + 5)
    say(f"a late day ({late_rows:,} interactions)")
    late_day = measured(late, full=False)
    say(f"{late_day}")
    inputs.append(told(late, "late"))
    disk_mb = {
        "lake": _megabytes(home / "lake" / "interactions"),
        "warehouse": _megabytes(home / "warehouse.duckdb"),
        "published": _megabytes(home / "lake") - _megabytes(home / "lake" / "interactions"),
    }
    by_hand: list[dict[str, Any]] = []
    if beside_raw:
        late.warehouse.unlink()
        for each in late.lake.iterdir():  # raw DuckDB reads interactions and offers alone
            if each.is_dir() and each.name not in (layout.INTERACTIONS, layout.CATALOG):
                shutil.rmtree(each)
        for number, known in enumerate(inputs):
            say(f"{known.name} by hand")
            by_hand.append(raw(late, known, day=number > 0))
            say(f"{by_hand[-1]}")
    found: dict[str, Any] = {
        "customers": customers,
        "days": days,
        "interactions": interactions,
        "day_interactions": rows,
        "full": full,
        "raw_full": by_hand[0] if by_hand else None,
        "day": _median(kept),
        "each_day": [each["seconds"] for each in kept],
        "raw_day": _median(by_hand[1:-1]) if by_hand else None,
        "late_interactions": late_rows,
        "late_day": late_day,
        "raw_late_day": by_hand[-1] if by_hand else None,
        "disk_mb": disk_mb,
        "memory_limit": memory_limit,
        "load": round(max(begun_at, psutil.getloadavg()[1]), 1),
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}",
        "git": subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip(),
    }
    for name in ("full", "day", "late_day"):
        by_raw = found[f"raw_{name}"]
        found[f"{name}_ratio"] = round(found[name]["seconds"] / by_raw["seconds"], 2) if by_raw else None
    shutil.rmtree(home)
    return found


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    middle = sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]
    return {**middle, "seconds": statistics.median(run["seconds"] for run in runs), "runs": len(runs)}


def _megabytes(path: Path) -> int:
    paths = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return round(sum(each.stat().st_size for each in paths) / 2**20)


def write_docs(sizes: list[dict[str, Any]]) -> None:
    """The page and the picture of what was measured."""

    def ratio(each: dict[str, Any], name: str) -> str:
        found = each[f"{name}_ratio"]
        return "–" if found is None else f"{found:.2f}"

    def told_rows(each: dict[str, Any]) -> str:
        return f"{each['day']['gene_rows']:,}" if "gene_rows" in each["day"] else "–"

    head = (
        "| customers | days | interactions | full, s | ÷ raw | day, s | ÷ raw | day's interactions | genes of whom it"
        " touches | late day, s | ÷ raw | gate of a day, s | peak memory, GB | warehouse, GB | load |\n|"
        + " ---: |" * 15
        + "\n"
    )
    lines = "".join(
        f"| {each['customers']:,} | {each['days']} | {each['interactions']:,} | {each['full']['seconds']:.0f} "
        f"| {ratio(each, 'full')} | {each['day']['seconds']:.1f} | {ratio(each, 'day')} "
        f"| {each['day_interactions']:,} | {told_rows(each)} "
        f"| {each['late_day']['seconds']:.1f} | {ratio(each, 'late_day')} "
        f"| {each['day']['gate_seconds']:.1f} | {each['full']['peak_memory_mb'] / 1024:.1f} "
        f"| {each['disk_mb']['warehouse'] / 1024:.1f} | {each['load']} |\n"
        for each in sizes
    )
    runs = " or ".join(sorted({str(each["day"]["runs"]) for each in sizes}))
    PAGE.write_text(
        "# What a build costs at size\n\n"
        "Written by `make bench-genome`; how a build continues the one before is told in\n"
        "[incremental builds](incremental.md).\n\n"
        f"{head}{lines}\n"
        "*Full* is a build of everything, *day* one that continues it with one more day (the median of "
        f"{runs}), *late day*\none with interactions of last week, half of which had been "
        "delivered before. Seconds hold dbt with its data\ntests and the export of every published table; the gate "
        "stands beside them. *Raw* is `benchmarks/raw_genome.py`:\nthe heavy tables as hand-written DuckDB SQL in one "
        "process, added to in the same way, without traits, offers, tests,\ncontracts and ledger. *Load* is the "
        "machine's while it was measured: well above 2, its two cores were shared.\n\n"
        f"{_flat(sizes)}"
        "![Seconds of a build by number of interactions](size.svg)\n"
    )
    _draw(sizes)


def _flat(sizes: list[dict[str, Any]]) -> str:
    """What a longer history costs a day, where it was measured."""
    told = ""
    for customers in sorted({each["customers"] for each in sizes}):
        mine = [each for each in sizes if each["customers"] == customers]
        first, last = mine[0], mine[-1]
        if first is not last:
            more = last["day"]["seconds"] / first["day"]["seconds"] - 1
            told += (
                f"With {customers:,} customers a day takes {first['day']['seconds']:.1f} s after {first['days']} days "
                f"of history and {last['day']['seconds']:.1f} s\nafter {last['days']} ({more:+.0%}).\n\n"
            )
    return told


def _millions(each: dict[str, Any]) -> float:
    return float(each["interactions"]) / 1e6


def _draw(sizes: list[dict[str, Any]]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    with mpl.rc_context({"svg.hashsalt": "genome", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
        for color, (name, label, mark) in zip(
            ("C0", "C0", "C1", "C1"),
            (
                ("full", "everything", "o-"),
                ("raw_full", "everything, raw DuckDB", "o:"),
                ("day", "one more day", "s-"),
                ("raw_day", "one more day, raw DuckDB", "s:"),
            ),
            strict=True,
        ):
            # A line joins what is of the same customers.
            for customers in sorted({each["customers"] for each in sizes if each[name]}):
                mine = [each for each in sizes if each["customers"] == customers and each[name]]
                seconds = [each[name]["seconds"] for each in mine]
                [line] = axes.plot(
                    [_millions(each) for each in mine], seconds, mark, color=color, markersize=5
                )
                if mark.endswith(":"):
                    line.set_markerfacecolor("white")
            line.set_label(label)
        for each in sizes:
            told = f"{each['customers']:,} × {each['days']} days"
            where = (_millions(each), each["full"]["seconds"])
            axes.annotate(told, where, (0, 7), textcoords="offset points", ha="center", fontsize=7)
        axes.margins(0.15)
        axes.set(xscale="log", yscale="log", xlabel="million interactions of history", ylabel="seconds")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3, which="both", linewidth=0.4)
        axes.legend(frameon=False)
        figure.savefig(PICTURE, metadata={"Date": None})
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--raw", action=argparse.BooleanOptionalAction, default=True, help="measure raw DuckDB, too"
    )
    parser.add_argument("--memory", default="4GB", help="DuckDB's memory limit, ours and the raw one's")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument(
        "--docs", action="store_true", help="write docs/size.md and docs/size.svg, measure nothing"
    )
    parser.add_argument("--json", action="store_true", help="print the result")
    options = parser.parse_args()
    sizes = json.loads(options.out.read_text())["sizes"] if options.out.is_file() else []
    if options.docs:
        write_docs(sizes)
        return
    for customers in options.customers:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            found = size(
                customers, options.days, options.repeat, options.memory, Path(folder), beside_raw=options.raw
            )
        same = (found["customers"], found["days"])
        sizes = [each for each in sizes if (each["customers"], each["days"]) != same] + [found]
        sizes.sort(key=lambda each: (each["customers"], each["days"]))
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps({"what": "genome", "sizes": sizes}, indent=2) + "\n")
    if options.json:
        print(json.dumps({"what": "genome", "sizes": sizes}, indent=2))


if __name__ == "__main__":
    main()
