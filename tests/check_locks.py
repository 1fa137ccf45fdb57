"""Check that the locks still fit pyproject.toml: resolve again, preferring locked versions, and compare.

Names, versions and markers are compared. Hashes are not: a maintainer may upload another wheel of the same version.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INDEX_WORDS = re.compile(r"--(extra-)?index|--find-links|https?://|file:")


def compiled(*arguments: str, lock: str) -> str:
    """The text of the lock if it were written now."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, Path(lock).name)
        shutil.copy(ROOT / lock, output)
        command = [
            Path(sys.executable).with_name("uv"),
            "pip",
            "compile",
            "--quiet",
            "--universal",
            "--generate-hashes",
        ]
        command += ["--python-version", "3.11", *arguments, "--output-file", output]
        done = subprocess.run(
            [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{lock} cannot be resolved:\n{done.stderr}")
        return output.read_text()


def pins(text: str) -> list[str]:
    """The requirements without their hashes, sorted."""
    return sorted(line.split("\\")[0].strip() for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line))


def main() -> int:
    """Returns 0 if every lock is up to date and names no package index, else 1."""
    product, development = "requirements/product.txt", "requirements/development.txt"
    locks = {
        "requirements/uv.txt": ["requirements/uv.in"],
        "requirements/benchmark.txt": ["requirements/benchmark.in"],
        product: ["pyproject.toml"],
        development: ["pyproject.toml", "--group", "dev", "--constraint", product],
        "requirements/notebook.txt": ["pyproject.toml", "--extra", "notebook", "--constraint", development],
        "requirements/report.txt": ["pyproject.toml", "--extra", "report", "--constraint", development],
    }
    stale = 0
    for lock, arguments in locks.items():
        committed = (ROOT / lock).read_text()
        if INDEX_WORDS.search(committed):
            print(f"{lock} names a package index: remove it")
            stale = 1
        if pins(committed) != pins(compiled(*arguments, lock=lock)):
            print(f"{lock} is not up to date: run make lock")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
