"""`make notebooks`: execute the notebooks on the demo's data and save them with their outputs, which are the same each time."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat

from kernels import NAMES, NOTEBOOKS, checkout, execute, make_demo

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        make_demo(place)
        copy = checkout(place)
        for name in NAMES:
            notebook = execute(copy / name, place / "scratch")
            (NOTEBOOKS / name).write_text(nbformat.writes(notebook) + "\n", "utf-8")
            print(f"{name}: {(NOTEBOOKS / name).stat().st_size / 1e3:,.0f} kB")
