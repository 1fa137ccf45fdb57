"""Run the scenarios and print the table: `make bench`.

make bench                              all scenarios, with 50,000 sessions or in proportion to that
make bench ONLY=full,memory RUNS=5      some scenarios, more runs
make bench QUICK=1                      small and once, for development: its ratios do not count
make bench AGAINST=main                 the working tree and a commit in turns (see against.py)
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from . import against, outcome
from .bench import Bench, Sizes
from .outcome import Row
from .replay import ROOT
from .scenarios import SCENARIOS


def main() -> int:
    """Returns 1 if a bound is missed (unless --quick) or a scenario failed, else 0."""
    given = _arguments()
    sizes = Sizes(
        sessions=given.sessions or (5_000 if given.quick else 50_000),
        runs=given.runs or (1 if given.quick else 3),
        syncs=12 if given.quick else 72,
        dlt=not given.no_dlt,
    )
    rows: list[Row] = []
    failures: dict[str, str] = {}
    directory = Path(tempfile.mkdtemp(prefix="vapi-sessions-bench-"))
    bench = Bench(sizes, directory, say=lambda text: print(text, file=sys.stderr, flush=True))
    try:
        for name in (name for name in SCENARIOS if name in given.only):
            began = time.monotonic()
            bench.say(f"{name}: {' '.join((SCENARIOS[name].__doc__ or '').split())}")
            try:
                rows += SCENARIOS[name](bench)
            except RuntimeError as error:  # the other scenarios still run
                failures[name] = str(error)
                bench.say(f"  failed: {error}")
            bench.say(f"  took {time.monotonic() - began:.0f} s")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(outcome.table(rows))
    outcome.write(given.output, rows, {**bench.figures, "failures": failures}, asdict(sizes))
    print(f"figures: {_short(given.output)}")
    missed = [row for row in rows if not row.ok]
    if given.quick:
        print("quick: these sizes are too small, start-up outweighs the rest; verdicts do not count")
    elif missed:
        print(f"{len(missed)} of {sum(bool(row.verdict) for row in rows)} bounds missed")
    for name, message in failures.items():
        print(f"{name} failed: {message}")
    return 1 if failures or (missed and not given.quick) else 0


def _short(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--only", type=_names, default=set(SCENARIOS), help=f"some of {','.join(SCENARIOS)} (all)"
    )
    parser.add_argument(
        "--sessions", type=int, help="sessions (50,000); some scenarios use a multiple or a part of it"
    )
    parser.add_argument("--runs", type=int, help="runs of which medians are taken (3)")
    parser.add_argument(
        "--quick", action="store_true", help="5,000 sessions, one run; exits with 0 even if bounds are missed"
    )
    parser.add_argument("--no-dlt", action="store_true", help="leave out dlt, which takes most of the time")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "build" / "benchmarks.json", help="file for the figures"
    )
    return parser.parse_args()


def _names(text: str) -> set[str]:
    names = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := names - SCENARIOS.keys():
        raise argparse.ArgumentTypeError(
            f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(SCENARIOS)}"
        )
    return names


if __name__ == "__main__":
    sys.exit(against.main(sys.argv[2:]) if sys.argv[1:2] == ["against"] else main())
