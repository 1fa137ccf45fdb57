"""The notebooks run from top to bottom: on the demo's data, on an empty warehouse, and on a single session."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from kernels import NAMES, NOTEBOOKS, checkout, code_cells, execute, make_demo, pictures, texts
from vapi_emulator.planted import MARKER
from vapi_sessions.cli.demo import next_steps
from worlds import new_world

pytestmark = pytest.mark.proof


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the notebooks, with a demo's warehouse beside them."""
    place = tmp_path_factory.mktemp("clone")
    make_demo(place)
    return checkout(place)


def check(notebook: Any) -> None:
    """Every cell ran, none wrote to stderr, and each plot was drawn."""
    cells = code_cells(notebook)
    outputs = [output for cell in cells for output in cell.outputs]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [one.text for one in outputs if one.get("name") == "stderr"] == []
    drawing = {cell.id for cell in cells if "plt.show()" in cell.source}
    assert pictures(notebook).keys() == drawing


@pytest.mark.parametrize("name", NAMES)
def test_running_a_notebook_again_gives_the_committed_outputs(clone: Path, name: str, tmp_path: Path) -> None:
    """In a clone it finds the demo's warehouse by itself. If this fails: make notebooks, and look at what changed."""
    ran = execute(clone / name, tmp_path)
    check(ran)
    committed = nbformat.read(NOTEBOOKS / name, as_version=4)
    assert texts(ran) == texts(committed)
    assert pictures(ran).keys() == pictures(committed).keys()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sessions", [0, 1])
def test_a_notebook_runs_on_few_sessions(sessions: int, name: str, tmp_path: Path) -> None:
    """Without rows, plots are empty."""
    warehouse = tmp_path / "few" / "warehouse"
    with new_world(warehouse) as world:
        world.generate(sessions, days=3)
        world.sync()
    ran = execute(checkout(tmp_path) / name, tmp_path, {"VAPI_WAREHOUSE": str(warehouse)})
    check(ran)
    assert f"{sessions} sessions" in texts(ran)["start"][0]


def test_a_notebook_runs_with_the_command_that_the_demo_prints(demo_warehouse: Path, tmp_path: Path) -> None:
    """As a shell parses it: the variables that it sets, and the notebook, in the notebook's own directory."""
    (command,) = (line for line in next_steps(demo_warehouse) if "-m jupyterlab " in line)
    words = shlex.split(command)
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    assert words[len(variables) :][:3] == [sys.executable, "-m", "jupyterlab"]
    assert Path(words[-1]) == (NOTEBOOKS / "first_look.ipynb").resolve()
    ran = execute(Path(words[-1]), tmp_path, variables)
    check(ran)
    assert str(demo_warehouse) in texts(ran)["start"][0]
    assert MARKER not in nbformat.writes(ran)
