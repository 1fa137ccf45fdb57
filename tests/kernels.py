"""Running the notebooks as Jupyter does, and the demo's data at a fixed time, so that every run gives the same outputs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient

from vapi_emulator.live import LiveTraffic
from worlds import new_world

NOTEBOOKS: Final = Path(__file__).parents[1] / "notebooks"
NAMES: Final = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


class ThisInterpreter(AsyncKernelManager):
    """Starts kernels with the interpreter that runs the tests, whatever kernels are installed elsewhere."""

    @property
    def kernel_spec(self) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python", language="python")


def checkout(place: Path) -> Path:
    """A copy of the notebooks in `place/notebooks`. They look for warehouses in `place`."""
    copy = place / "notebooks"
    copy.mkdir(parents=True)
    for path in NOTEBOOKS.iterdir():
        if path.is_file():
            shutil.copy2(path, copy)
    return copy


def make_demo(place: Path) -> Path:
    """The warehouse of a demo in `place/demo`, as if the demo had run at the tests' fixed time."""
    warehouse = place / "demo" / "warehouse"
    with new_world(warehouse) as world:
        world.generate(2_000, days=30, seed=1)
        world.sync(concurrency=1, page_size=1_000)
        traffic = LiveTraffic(world.server.store, world.server.org_id, seed=1)
        for _ in range(60):
            world.clock.forward(seconds=1)
            traffic.step()
        world.sync(concurrency=1, page_size=1_000)
    return warehouse


def execute(path: Path, scratch: Path, variables: Mapping[str, str] | None = None) -> Any:
    """The notebook with outputs, executed in its own directory. Raises CellExecutionError for a cell that fails."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VAPI_")}
    environment = {
        **inherited,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": str(scratch),  # without the developer's own style
        "IPYTHONDIR": str(scratch),
        **(variables or {}),
    }
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisInterpreter,
        timeout=None,  # a test has its own
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(env=environment)
    notebook.metadata.language_info = {"name": "python"}  # without the version of Python
    return notebook


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(notebook: Any) -> dict[str, list[str]]:
    """The output of each cell that is text: printed lines and tables. Pictures can differ between processors."""
    return {
        cell.id: [
            "".join(output.text) if output.output_type == "stream" else output.data.get("text/plain", "")
            for output in cell.outputs
        ]
        for cell in code_cells(notebook)
    }


def pictures(notebook: Any) -> dict[str, list[str]]:
    """The base64 of the PNG pictures of each cell that shows a plot."""
    shown = {
        cell.id: [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
        for cell in code_cells(notebook)
    }
    return {name: found for name, found in shown.items() if found}
