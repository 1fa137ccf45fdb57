"""The notebook is committed without outputs, and every cell of it runs."""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient

import vapi_sessions
from vapi_emulator.planted import MARKER
from vapi_sessions.cli.demo import next_steps

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "first_look.ipynb"


class ThisInterpreter(AsyncKernelManager):
    """Starts kernels with the interpreter that runs the tests, whatever kernels are installed elsewhere."""

    @property
    def kernel_spec(self) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python", language="python")


@pytest.fixture(scope="module")
def committed() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def pasted(demo_warehouse: Path) -> tuple[dict[str, str], Path]:
    """The notebook's command that `demo` prints, as a shell parses it: the variables it sets, and the notebook."""
    (command,) = (line for line in next_steps(demo_warehouse) if "-m jupyterlab " in line)
    words = shlex.split(command)
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    assert words[len(variables) :][:3] == [sys.executable, "-m", "jupyterlab"]
    return variables, Path(words[-1])


@pytest.fixture(scope="module")
def executed(pasted: tuple[dict[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook as Jupyter runs it after that command: in the notebook's own directory."""
    variables, path = pasted
    assert path == NOTEBOOK.resolve()
    elsewhere = tmp_path_factory.mktemp("notebook")
    environment = (
        os.environ
        | {
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "MPLCONFIGDIR": str(elsewhere),  # without the developer's own style
            "IPYTHONDIR": str(elsewhere),
        }
        | variables
    )
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisInterpreter,
        timeout=None,  # the test has its own
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(env=environment)
    return notebook


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_committed_notebook_is_valid(committed: Any) -> None:
    """It follows its format, with an id for each cell."""
    nbformat.validate(committed)
    assert len({cell.id for cell in committed.cells}) == len(committed.cells)


def test_the_committed_notebook_has_no_outputs(committed: Any) -> None:
    """Outputs hold customers' data."""
    for cell in code_cells(committed):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_the_committed_notebook_has_no_absolute_path(committed: Any) -> None:
    """It finds the warehouse with connect()."""
    text = "\n".join(cell.source for cell in committed.cells)
    assert re.findall(r"(?:/(?:home|Users|root|tmp|work|mnt|var)/|[A-Z]:\\)\S*", text) == []
    assert "vapi_sessions.connect()" in text


@pytest.mark.proof
def test_every_cell_of_the_notebook_runs(executed: Any) -> None:
    """In order, and without an error."""
    cells = code_cells(executed)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [output for cell in cells for output in cell.outputs if output.output_type == "error"] == []


@pytest.mark.proof
def test_no_cell_of_the_notebook_warns(executed: Any) -> None:
    """Nothing is written to stderr."""
    assert [
        output.text
        for cell in code_cells(executed)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ] == []


@pytest.mark.proof
def test_every_figure_of_the_notebook_is_drawn(executed: Any) -> None:
    """Each cell that shows a figure shows exactly one, and there are several."""
    drawing = [cell for cell in code_cells(executed) if "plt.show()" in cell.source]
    assert len(drawing) >= 8
    for cell in drawing:
        pictures = [
            output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})
        ]
        assert len(pictures) == 1, cell.id


@pytest.mark.proof
def test_the_notebook_reads_the_warehouse_of_the_environment(executed: Any, demo_warehouse: Path) -> None:
    """The first table counts the sessions of the warehouse that VAPI_WAREHOUSE names."""
    with vapi_sessions.connect(demo_warehouse) as connection:
        ((sessions,),) = connection.execute("SELECT COUNT(*) FROM sessions").fetchall()
    (cell,) = (cell for cell in executed.cells if cell.id == "fresh")
    assert f"<td>{sessions}</td>" in cell.outputs[0].data["text/html"]


@pytest.mark.proof
def test_the_transcript_in_the_notebook_is_readable(executed: Any) -> None:
    """One conversation is printed, with the words of the customer and of the assistant."""
    (cell,) = (cell for cell in executed.cells if cell.id == "transcript")
    text = "".join(output.text for output in cell.outputs)
    assert re.search(r"\d\d:\d\d:\d\d  customer   \S", text)
    assert re.search(r"\d\d:\d\d:\d\d  assistant  \S", text)


@pytest.mark.proof
def test_the_notebook_shows_no_planted_secret(executed: Any) -> None:
    """Not in a table, a text or an error of any cell."""
    assert MARKER not in nbformat.writes(executed)
