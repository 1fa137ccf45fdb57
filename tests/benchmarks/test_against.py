"""Each tree runs its own code on the same input, and the documented figures are the measured ones."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from . import against, ratios, trees
from .bench import Sizes
from .dataset import Lane, build_emulated, build_lanes, read_at
from .pages import END, Author
from .ratios import Figures, Measurements, Spent
from .replay import ROOT
from .server import Replay

SESSIONS = 50
DOCUMENT = ROOT / "docs" / "performance.md"
#: A stand-in for the command: it stores SIZE bytes, reports COUNT sessions, and appends SIZE to the file `ran`.
_COMMAND = """
import pathlib, sys
warehouse = pathlib.Path(sys.argv[sys.argv.index("--warehouse") + 1])
if sys.argv[1] == "sql":
    print("count\\n" + str(COUNT))
else:
    warehouse.mkdir()
    (warehouse / "rows").write_bytes(bytes(SIZE))
    (warehouse / "again").hardlink_to(warehouse / "rows")
    with (warehouse.parents[2] / "ran").open("a") as file:
        file.write(f"{SIZE} ")
"""


def _write(repository: Path, *, size: int, count: int = SESSIONS) -> None:
    package = repository / "src" / "vapi_sessions"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(f"SIZE, COUNT = {size}, {count}\n{_COMMAND}")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, whose command stores 30,000 bytes. That of the working tree stores 10,000."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    repository = tmp_path / "repository"
    _write(repository, size=30_000)
    identity = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.com"]
    for command in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "One"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    _write(repository, size=10_000)
    return repository


def _run(repository: Path) -> Figures:
    sizes = Sizes(sessions=SESSIONS, runs=2)
    return against.run(["HEAD"], sizes, only=["full"], repository=repository, say=lambda _: None)


@pytest.mark.proof
def test_each_tree_runs_its_own_code_in_turns(repository: Path, tmp_path: Path) -> None:
    """The commit and the working tree each store what their own code stores; no file is left behind."""
    figures = _run(repository)
    disk = {tree: figures.cases["full"].values(tree, "disk") for tree in figures.trees}
    assert disk == {"HEAD": [30_000, 30_000], "present": [10_000, 10_000]}
    assert (tmp_path / "ran").read_text().split() == ["30000", "10000"] * 2
    assert figures.lines["HEAD"] == figures.lines["present"] == len(_COMMAND.splitlines()) + 1
    assert figures.trees["present"].endswith(" and changes")
    assert all(min(figures.cases["full"].values(tree, "cpu")) > 0 for tree in figures.trees)
    assert {path.name for path in tmp_path.iterdir()} == {"repository", "ran"}


@pytest.mark.proof
def test_a_tree_with_a_wrong_result_is_not_measured(repository: Path) -> None:
    """It stores one session too few."""
    _write(repository, size=10_000, count=SESSIONS - 1)
    with pytest.raises(RuntimeError, match=r"present: .* gives \['49'\], not 50"):
        _run(repository)


def test_an_unknown_commit_is_an_error(repository: Path) -> None:
    """The message names it."""
    with pytest.raises(RuntimeError, match=r"no-such.*: there is no such commit"):
        trees.of_commit(repository, "no-such", repository.parent / "tree")


@pytest.mark.proof
def test_all_cases_run() -> None:
    """With the real command and a few sessions, and every line of the table has a figure."""
    figures = against.run([], Sizes(sessions=SESSIONS, runs=1), say=lambda _: None)
    assert list(figures.cases) == list(against.cases(Sizes()))
    for case in figures.cases.values():
        (spent,) = case.spent["present"]
        assert min(spent.cpu, spent.wall, spent.memory, spent.disk, spent.requests) > 0
    rows = ratios.markdown(figures).splitlines()[2:]
    assert len(rows) == len(list(ratios.lines(figures))) > 15
    assert all("| 1.00 |" in row for row in rows)


@pytest.mark.proof
def test_the_last_commit_of_this_repository_can_be_measured() -> None:
    """With the real command."""
    figures = against.run(["HEAD"], Sizes(sessions=SESSIONS, runs=1), only=["full"], say=lambda _: None)
    assert all(figures.cases["full"].values(tree, "disk") for tree in ("HEAD", "present"))
    assert figures.lines["HEAD"] > 0


def _spent(cpu: float, **more: Any) -> Spent:
    return Spent(**{"cpu": cpu, "wall": cpu, "memory": 200_000_000, "disk": 1, "requests": 3, **more})


def test_the_table_shows_medians_spreads_and_ratios() -> None:
    """The ratio is that of the last tree to the first; a tree without runs of a case has no figure."""
    runs = {"old": [_spent(4.0), _spent(2.0), _spent(3.0)], "present": [_spent(1.5)] * 3}
    figures = Figures(
        {"old": "a1", "older": "b2", "present": "c3"},
        {"old": 1_000, "older": 900, "present": 500},
        {"nothing": Measurements("sync, nothing changed", runs)},
    )
    rows = ratios.markdown(figures).splitlines()
    assert rows[0] == "|  | old | older | present | ratio | runs |"
    assert rows[2] == "| sync, nothing changed: processor time | 3.00 s (2.00–4.00) | – | 1.50 s | 0.50 | 3 |"
    assert rows[-1] == "| lines in src/vapi_sessions | 1,000 | 900 | 500 | 0.50 |  |"


def test_cases_that_were_not_run_again_keep_their_figures(tmp_path: Path) -> None:
    """They are read from the file, and the working tree stays the last one."""
    earlier = Figures(
        {"a": "1", "present": "2"}, {"a": 5, "present": 6}, {"full": Measurements("f", {"a": [_spent(1.0)]})}
    )
    path = tmp_path / "figures.json"
    path.write_text(earlier.as_json())
    assert ratios.read(path) == earlier
    assert json.loads(path.read_text())["cores"]
    later = Figures({"b": "3"}, {"b": 7}, {"large": Measurements("l", {"b": [_spent(2.0)]})})
    both = later.beside(ratios.read(path))
    assert list(both.trees) == ["a", "b", "present"]
    assert both.cases == earlier.cases | later.cases


def _listed(replay: Replay, moment: int) -> dict[str, dict[str, Any]]:
    replay.state.show(moment)
    _, pieces = replay.answer("/session?limit=1000&sortOrder=ASC")
    return {row["id"]: row for row in json.loads(b"".join(pieces))["results"]}


def test_lanes_of_a_history_have_the_same_start_and_different_changes(tmp_path: Path) -> None:
    """A deleted session is not found by its id either."""
    lanes = build_lanes(tmp_path / "lanes.bodies", 200, changes=20, costs=8, deletions=5)
    replays = {name: Replay(dataset.bodies, dataset.index) for name, dataset in lanes.items()}
    before = _listed(replays["nothing"], END)
    assert len(before) == 200
    assert sum("cost" not in row and "costs" not in row for row in before.values()) == 8
    after: dict[Lane, dict[str, dict[str, Any]]] = {}
    for name, replay in replays.items():
        assert _listed(replay, END) == before
        after[name] = _listed(replay, read_at(0))
    assert after["nothing"] == before
    grown = [
        key
        for key, row in after["changes"].items()
        if len(row["messages"]) == len(before[key]["messages"]) + 1
    ]
    assert (len(grown), len(after["changes"])) == (20, 200)
    filled = {key: row for key, row in after["costs"].items() if row != before[key]}
    assert len(filled) == 8
    assert all("cost" in row for row in after["costs"].values())
    assert all(row["messages"] == before[key]["messages"] for key, row in filled.items())
    gone = before.keys() - after["deletions"].keys()
    assert len(gone) == 5
    statuses = {key: replays["deletions"].answer(f"/session/{key}")[0].split()[0] for key in before}
    assert {key for key, status in statuses.items() if status == "404"} == gone
    assert set(statuses.values()) == {"200", "404"}


def test_a_session_is_pending_until_its_costs_come() -> None:
    """Nothing else differs."""
    made = Author().session("plain", END - 10**9)
    before, after = json.loads(made.pending), json.loads(made.body)
    assert after.keys() - before.keys() == {"cost", "costs"}
    assert before == {key: after[key] for key in before}


def test_the_emulators_own_history_can_be_replayed(tmp_path: Path) -> None:
    """The server shows all sessions in order of creation."""
    dataset = build_emulated(tmp_path / "emulated.bodies", 40)
    shown = list(_listed(Replay(dataset.bodies, dataset.index), END).values())
    assert len(shown) == 40
    assert [row["createdAt"] for row in shown] == sorted(row["createdAt"] for row in shown)


def test_the_documented_table_shows_the_measured_figures() -> None:
    """The table in docs/performance.md is made from docs/performance.json."""
    text = DOCUMENT.read_text()
    assert ratios.documented(text, ratios.read(DOCUMENT.with_suffix(".json"))) == text


def test_the_documented_commands_exist() -> None:
    """The Makefile has the variables and the module has the options."""
    blocks = re.findall(r"```\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if "bench" in line]
    commands = [shlex.split(line, comments=True) for line in lines]
    makefile = (ROOT / "Makefile").read_text()
    for command in commands:
        if command[:2] == ["make", "bench"]:
            assert {f"$({word.split('=')[0]})" in makefile for word in command[2:]} == {True}
        else:
            assert command[1:4] == ["-m", "tests.benchmarks", "against"]
            assert against.arguments(command[4:]).commits
    assert len(commands) >= 3
