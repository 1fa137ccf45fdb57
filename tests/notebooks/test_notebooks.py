"""The notebooks as they are committed: with plots of generated data, and the same each time they are made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest

from kernels import NAMES, NOTEBOOKS, code_cells, pictures, texts
from vapi_emulator.planted import MARKER

#: Bytes of all notebooks together, so that a clone stays small.
_MOST: Final = 1_500_000


@pytest.fixture(params=NAMES)
def committed(request: pytest.FixtureRequest) -> Any:
    return nbformat.read(NOTEBOOKS / request.param, as_version=4)


def everything(notebook: Any) -> str:
    """The sources and all outputs that are text."""
    printed = [text for found in texts(notebook).values() for text in found]
    tables = [
        output.get("data", {}).get("text/html", "")
        for cell in code_cells(notebook)
        for output in cell.outputs
    ]
    return "\n".join([*(cell.source for cell in notebook.cells), *printed, *tables])


def test_there_are_three_notebooks() -> None:
    """A first look, costs, and failures; small enough to be kept with their plots."""
    assert NAMES == ["costs.ipynb", "failures.ipynb", "first_look.ipynb"]
    assert sum((NOTEBOOKS / name).stat().st_size for name in NAMES) < _MOST


def test_a_notebook_is_valid_and_was_executed_in_order(committed: Any) -> None:
    """Each cell has an id and no times, and none failed or warned."""
    nbformat.validate(committed)
    assert len({cell.id for cell in committed.cells}) == len(committed.cells)
    cells = code_cells(committed)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [cell.id for cell in cells if cell.metadata] == []
    outputs = [output for cell in cells for output in cell.outputs]
    assert [one for one in outputs if one.output_type == "error" or one.get("name") == "stderr"] == []


def test_a_text_before_each_cell_says_what_is_asked(committed: Any) -> None:
    """A notebook teaches."""
    for before, cell in zip(committed.cells, committed.cells[1:], strict=False):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown", cell.id
            assert len(before.source) > 15, cell.id


def test_every_plot_is_kept(committed: Any) -> None:
    """One picture for each cell that draws."""
    drawing = [cell.id for cell in code_cells(committed) if "plt.show()" in cell.source]
    assert len(drawing) >= 6
    assert {name: len(found) for name, found in pictures(committed).items()} == dict.fromkeys(drawing, 1)


def test_committed_outputs_are_of_the_demo(committed: Any) -> None:
    """Outputs of a real warehouse would hold customers' data."""
    ((line,),) = (found for name, found in texts(committed).items() if name == "start")
    assert re.fullmatch(
        r"Warehouse: demo/warehouse \(the demo's\), 2,0\d\d sessions, complete until 2026-03-0\d \d\d:\d\d UTC\.\n",
        line,
    )


def test_nothing_committed_names_a_path_or_a_secret(committed: Any) -> None:
    """Not in a source, a table or a printed line."""
    text = everything(committed)
    assert re.findall(r"(?:/(?:home|Users|root|tmp|dev/shm|mnt|var)/|[A-Z]:\\)\S*", text) == []
    assert MARKER not in text


def test_links_between_notebooks_and_documents_work(committed: Any) -> None:
    """A reader gets from each to the others."""
    targets = [
        target
        for cell in committed.cells
        for target in re.findall(r"\]\(([^)\s]+)\)", cell.source)
        if "://" not in target
    ]
    assert targets
    assert [target for target in targets if not Path(NOTEBOOKS, target).is_file()] == []
