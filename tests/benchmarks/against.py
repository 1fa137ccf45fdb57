"""The working tree and commits, run in turns on the same input: `make bench AGAINST=<commit>`.

Each run is a process of its own. Each tree fills its own warehouses and is used through the command line only, and each run is
checked before it counts. Each sync into a filled warehouse gets a copy of the same warehouse, at the path where it was made.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

from . import measure, ratios, trees
from .bench import Sizes
from .dataset import MINUTE, Dataset, Lane, build, build_emulated, build_lanes, read_at
from .pages import END, iso
from .ratios import Figures, Measurements, Spent
from .replay import ROOT, ReplayServer
from .trees import Tree

_DOCUMENT: Final = ROOT / "docs" / "performance.md"


@dataclass(frozen=True, slots=True)
class Case:
    """One command that is measured. `filled`: the warehouse already holds the history, and the changes are in `lane`.

    Afterwards the query `proof` must give `expected`: a fast run with a wrong result does not count.
    """

    title: str
    history: Literal["plain", "emulated", "lanes"]
    sessions: int
    filled: bool = False
    lane: Lane = "nothing"
    command: str = "sync"
    moment: int = END
    proof: str = "SELECT count(*) FROM sessions"
    expected: int | None = None


def cases(sizes: Sizes) -> dict[str, Case]:
    """All cases by name, in the order in which they run."""
    big, small, some, gone = sizes.big, sizes.small, sizes.changes, sizes.deletions
    changed = f"SELECT count(*) FROM sessions WHERE updated_at > TIMESTAMPTZ '{iso(END)}'"

    def follow(title: str, lane: Lane, proof: str, expected: int, *, sessions: int = big) -> Case:
        command = "reconcile" if lane == "deletions" else "sync"
        return Case(
            f"{title}, {sessions:,} sessions", "lanes", sessions, filled=True, lane=lane, command=command,
            moment=read_at(0), proof=proof, expected=expected,
        )  # fmt: skip

    return {
        "full": Case(f"full sync, {sizes.sessions:,} sessions", "plain", sizes.sessions),
        "emulated": Case(f"full sync, {small:,} sessions of the emulator's own", "emulated", small),
        "small": Case(f"full sync, {small:,} sessions", "lanes", small),
        "large": Case(f"full sync, {big:,} sessions", "lanes", big),
        "nothing": Case(
            f"nothing changed, {big:,} sessions", "lanes", big, filled=True, moment=END + 5 * MINUTE
        ),
        "costs": follow(
            f"costs filled in for {some:,}", "costs", "SELECT count(*) FROM sessions WHERE cost_usd IS NULL", 0
        ),
        "changed-small": follow(f"{some:,} changed messages", "changes", changed, min(some, small), sessions=small),
        "changed-large": follow(f"{some:,} changed messages", "changes", changed, some),
        "deletions": follow(
            f"{gone:,} deletions marked", "deletions", "SELECT count(*) FROM sessions WHERE deleted_at IS NOT NULL", gone
        ),
    }  # fmt: skip


@dataclass(slots=True)
class Against:
    """One run of the benchmark: its trees, and a directory for data sets and warehouses."""

    sizes: Sizes
    trees: Sequence[Tree]
    directory: Path
    say: Callable[[str], None] = print
    _histories: dict[tuple[str, int], dict[Lane, Dataset]] = field(default_factory=dict)

    def measure(self, case: Case) -> dict[str, list[Spent]]:
        """The figures of each run, by tree; the trees take turns."""
        found: dict[str, list[Spent]] = {tree.name: [] for tree in self.trees}
        with ReplayServer(self._data(case)) as server:
            for _ in range(self.sizes.runs):
                for tree in self.trees:
                    spent = self._once(case, tree, server)
                    self.say(f"  {tree.name}: {spent}")
                    found[tree.name].append(spent)
        if case.history != "lanes":  # other cases need the lanes again
            for dataset in self._histories.pop((case.history, case.sessions)).values():
                dataset.remove()
        return found

    def _once(self, case: Case, tree: Tree, server: ReplayServer) -> Spent:
        warehouse, kept = self._warehouse(tree), self._kept(tree, case.sessions)
        shutil.rmtree(warehouse, ignore_errors=True)
        if case.filled:
            if not kept.exists():
                self.say(f"  {tree.name}: filling a warehouse")
                self._run(Case("", "lanes", case.sessions), tree, server)
                warehouse.rename(kept)
            _copy(kept, warehouse)
        spent = self._run(case, tree, server)
        if case.history == "lanes" and not case.filled and not kept.exists():
            warehouse.rename(kept)
        shutil.rmtree(warehouse, ignore_errors=True)
        return spent

    def _run(self, case: Case, tree: Tree, server: ReplayServer) -> Spent:
        warehouse = self._warehouse(tree)
        server.set(moment=case.moment)
        where = ("--warehouse", warehouse, "--base-url", server.url)
        run = partial(measure.run, env=tree.environment, cwd=self.directory)
        measured = run(tree.command(case.command, *where))
        requests = server.counted().requests
        expected = case.sessions if case.expected is None else case.expected
        shown = run(tree.command("sql", case.proof, "--warehouse", warehouse, "--format", "csv")).output
        if shown.split()[-1:] != [str(expected)]:
            raise RuntimeError(f"{tree.name}: {case.proof} gives {shown.split()[-1:]}, not {expected}")
        size = trees.size_on_disk(warehouse)
        return Spent(round(measured.cpu, 3), round(measured.wall, 3), measured.memory, size, requests)

    def _warehouse(self, tree: Tree) -> Path:
        return tree.path / "warehouse"

    def _kept(self, tree: Tree, sessions: int) -> Path:
        return tree.path / f"warehouse-{sessions}"

    def _data(self, case: Case) -> Dataset:
        key = case.history, case.sessions
        if key not in self._histories:
            self.say(f"  making the history of {case.sessions:,} sessions")
            self._histories[key] = self._make(case, self.directory / f"{case.history}-{case.sessions}.bodies")
        return self._histories[key][case.lane]

    def _make(self, case: Case, path: Path) -> dict[Lane, Dataset]:
        sizes = self.sizes
        if case.history == "emulated":
            return {"nothing": build_emulated(path, case.sessions)}
        if case.history == "plain":
            return {"nothing": build(path, "plain", case.sessions)}
        late = max(1, case.sessions // 100)
        return build_lanes(path, case.sessions, changes=sizes.changes, costs=late, deletions=sizes.deletions)


def _copy(warehouse: Path, path: Path) -> None:
    """Copy a warehouse and flush it to the disk, so that the measured command does not wait for that."""
    shutil.copytree(warehouse, path, symlinks=True)
    for file in path.rglob("*"):
        if file.is_file():
            with file.open("r+b") as copied:
                os.fsync(copied.fileno())


def run(
    commits: Sequence[str], sizes: Sizes, *, only: Sequence[str] = (), repository: Path = ROOT,
    present: bool = True, say: Callable[[str], None] = print, keep: Callable[[Figures], None] = lambda _: None,
) -> Figures:  # fmt: skip
    """Measure the cases in `only`, or all. `keep` is called with all figures so far after each case.

    Raises RuntimeError if a commit is unknown; and after all cases, if a command failed or its result was wrong.
    """
    failures = []
    directory = Path(tempfile.mkdtemp(prefix="vapi-sessions-bench-"))
    try:
        compared = [
            trees.of_commit(repository, name, directory / f"tree-{number}")
            for number, name in enumerate(commits)
        ]
        if present:
            compared.append(trees.as_it_is(repository, directory / "tree-present"))
        against = Against(sizes, compared, directory, say)
        figures = Figures(
            {tree.name: tree.commit for tree in compared}, {tree.name: tree.lines() for tree in compared}
        )
        for name, case in cases(sizes).items():
            if not only or name in only:
                say(f"{name}: {case.title}")
                try:
                    figures.cases[name] = Measurements(case.title, against.measure(case))
                except RuntimeError as error:
                    failures.append(f"{name}: {error}")
                    say(f"  failed: {error}")
                keep(figures)
        if failures:
            raise RuntimeError("\n".join(failures))
        return figures
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main(given: Sequence[str]) -> int:
    """Returns 1 if something failed, else 0. The figures of other cases stay in the file."""
    asked = arguments(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the directory is removed
    output: Path = _DOCUMENT.with_suffix(".json") if asked.document else asked.output
    earlier = ratios.read(output) if output.exists() else Figures({}, {})

    def keep(figures: Figures) -> None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(figures.beside(earlier).as_json())
        if asked.document:
            _DOCUMENT.write_text(ratios.documented(_DOCUMENT.read_text(), figures.beside(earlier)))

    try:
        figures = run(
            asked.commits, Sizes(sessions=asked.sessions, runs=asked.times), only=asked.only, present=not asked.without_present,
            say=lambda text: print(text, file=sys.stderr, flush=True), keep=keep,
        )  # fmt: skip
    except RuntimeError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    print(ratios.markdown(figures))
    print(f"figures: {output}")
    return 0


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks against", description=__doc__)
    parser.add_argument(
        "commits", nargs="+", metavar="COMMIT", help="commits to compare; ratios are to the first one"
    )
    parser.add_argument("--only", nargs="+", choices=list(cases(Sizes())), metavar="NAME", default=[],
                        help=f"some of {', '.join(cases(Sizes()))} (all)")  # fmt: skip
    parser.add_argument("--times", type=int, default=5, help="runs of which medians are taken (5)")
    parser.add_argument(
        "--sessions",
        type=int,
        default=50_000,
        help="sessions of the first case (50,000); other cases in proportion",
    )
    parser.add_argument("--without-present", action="store_true", help="leave out the working tree")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "build" / "against.json", help="file for the figures"
    )
    parser.add_argument(
        "--document",
        action="store_true",
        help="write the figures into docs/performance.json and docs/performance.md",
    )
    return parser.parse_args(given)
