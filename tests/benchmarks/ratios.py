"""The figures of several trees for the same cases: kept as JSON, shown as medians, spreads and ratios."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Final, Literal, TypeAlias

from .trees import PRESENT

Metric: TypeAlias = Literal["cpu", "wall", "memory", "disk"]
_WORDS: Final[dict[Metric, str]] = {
    "cpu": "processor time", "wall": "wall", "memory": "peak memory", "disk": "bytes on disk",
}  # fmt: skip
_MARKERS: Final = ("<!-- figures -->", "<!-- /figures -->")


@dataclass(frozen=True, slots=True)
class Spent:
    """One run of a command: seconds, peak memory in bytes, bytes on disk afterwards, requests."""

    cpu: float
    wall: float
    memory: int
    disk: int
    requests: int

    def __str__(self) -> str:
        return (
            f"CPU {self.cpu:.2f} s, {self.wall:.2f} s, {self.memory / 1e6:.0f} MB of memory, "
            f"{self.disk / 1e6:.1f} MB on disk, {self.requests} requests"
        )


@dataclass(frozen=True, slots=True)
class Measurements:
    """All runs of one case. `spent`: by tree."""

    title: str
    spent: dict[str, list[Spent]]

    def values(self, tree: str, metric: Metric) -> list[float]:
        """One figure of each run; [] for a tree without runs."""
        return [getattr(run, metric) for run in self.spent.get(tree, [])]


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures. `trees`: name to commit, the working tree last; `lines`: of Python, by tree; `cases`: by name."""

    trees: dict[str, str]
    lines: dict[str, int]
    cases: dict[str, Measurements] = field(default_factory=dict)

    def beside(self, earlier: Figures) -> Figures:
        """These figures and those of earlier cases that were not run again."""
        names = [name for name in earlier.trees | self.trees if name != PRESENT]
        names += [PRESENT] if PRESENT in earlier.trees | self.trees else []
        trees, lines = earlier.trees | self.trees, earlier.lines | self.lines
        return Figures(
            {name: trees[name] for name in names},
            {name: lines[name] for name in names},
            earlier.cases | self.cases,
        )

    def as_json(self) -> str:
        """The text that `read` reads."""
        machine = {"python": platform.python_version(), "cores": os.cpu_count()}
        text = json.dumps(machine | asdict(self), indent=1)
        return re.sub(r"{\s*(\"cpu\"[^}]*?)\s*}", lambda run: f"{{{' '.join(run[1].split())}}}", text) + "\n"


def read(path: Path) -> Figures:
    """Read figures from a file."""
    found = json.loads(path.read_text())
    measured = {
        name: Measurements(
            case["title"], {tree: [Spent(**run) for run in runs] for tree, runs in case["spent"].items()}
        )
        for name, case in found["cases"].items()
    }
    return Figures(found["trees"], found["lines"], measured)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: values by tree, how to show a value, and the bound of the ratio (or of the figure)."""

    title: str
    values: dict[str, list[float]]
    show: Callable[[float], str]
    wanted: str = ""


#: The metrics shown of each case, and the bound of their ratio to `WANTED_OF`.
_SHOWN: Final[Sequence[tuple[str, Metric, float | None]]] = (
    ("full", "cpu", 0.70), ("full", "wall", 0.65), ("full", "disk", 0.45),
    ("emulated", "cpu", 0.50),
    ("large", "cpu", None), ("large", "memory", 0.85), ("small", "memory", None),
    ("costs", "cpu", 0.35), ("costs", "wall", 0.35),
    ("changed-large", "cpu", None), ("changed-large", "wall", None), ("changed-small", "cpu", None), ("changed-small", "wall", None),
    ("deletions", "cpu", 0.35), ("deletions", "wall", 0.35),
    ("nothing", "cpu", 1.0), ("nothing", "wall", 1.0),
)  # fmt: skip
#: Quotients of a metric of two cases, with a bound.
_QUOTIENTS: Final[Sequence[tuple[str, str, Metric, str]]] = (
    ("large", "small", "memory", "figure ≤ 1.20x"),
    ("changed-large", "changed-small", "cpu", "≤ 1.00"), ("changed-large", "changed-small", "wall", "≤ 1.00"),
)  # fmt: skip
_LINES_WANTED: Final = 0.92
#: The commit to which the bounds apply.
WANTED_OF: Final = "657c4c59afab0a8b88f897510064eabad00f5085"


def lines(figures: Figures) -> Iterator[Line]:
    """The lines of the table."""
    cases = figures.cases
    for name, metric, at_most in _SHOWN:
        if name in cases:
            title = f"{cases[name].title}: {_WORDS[metric]}"
            values = {tree: cases[name].values(tree, metric) for tree in figures.trees}
            yield Line(
                title, values, _seconds if metric in ("cpu", "wall") else _megabytes, _at_most(at_most)
            )
    for one, other, metric, wanted in _QUOTIENTS:
        if {one, other} <= cases.keys():
            title = f"{cases[one].title}, against {cases[other].title.rsplit(', ')[-1]}: {_WORDS[metric]}"
            values = {
                tree: [a / b for a, b in zip(cases[one].values(tree, metric), cases[other].values(tree, metric), strict=False)]
                for tree in figures.trees
            }  # fmt: skip
            yield Line(title, values, "{:.2f}x".format, wanted)
    counted = {tree: [float(figures.lines[tree])] for tree in figures.trees}
    yield Line("lines in src/vapi_sessions", counted, "{:,.0f}".format, _at_most(_LINES_WANTED))


def markdown(figures: Figures) -> str:
    """The table: medians, the smallest and largest values in brackets, and the ratio of the working tree to the first."""
    names = list(figures.trees)
    wanted = figures.trees[names[0]] == WANTED_OF
    heads = ["", *names, "ratio", *(["wanted"] if wanted else []), "runs"]
    rows = [heads, ["---"] * len(heads)]
    for line in lines(figures):
        first, present = line.values[names[0]], line.values.get(PRESENT)
        ratio = f"{median(present) / median(first):.2f}" if first and present else "–"
        cells = [_cell(line.values[name], line.show) for name in names]
        runs = str(len(first)) if len(first) > 1 else ""
        rows.append([line.title, *cells, ratio, *([line.wanted] if wanted else []), runs])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def documented(text: str, figures: Figures) -> str:
    """The document with the table between its two markers."""
    before, rest = text.split(_MARKERS[0], 1)
    after = rest.split(_MARKERS[1], 1)[1]
    return f"{before}{_MARKERS[0]}\n{markdown(figures)}\n{_MARKERS[1]}{after}"


def _cell(values: Sequence[float], show: Callable[[float], str]) -> str:
    if not values:
        return "–"
    middle = show(median(values))
    if min(values) == max(values):
        return middle
    return f"{middle} ({show(min(values)).split()[0]}–{show(max(values)).split()[0]})"


def _at_most(ratio: float | None) -> str:
    return "" if ratio is None else f"≤ {ratio:.2f}"


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.1f} MB" if value < 1e8 else f"{value / 1e6:,.0f} MB"
