"""Trees of source code, of commits and of the working tree, each copied into a directory of its own.

Nothing is installed. The command of a tree is this interpreter with the `src` of the tree first in its path, so all trees have
the same dependencies and differ only in `src`, `sql` and `flows`.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .bench import environment

PRESENT: Final = "present"
_PARTS: Final = ("src", "sql", "flows")


@dataclass(frozen=True, slots=True)
class Tree:
    """Source code that can be run. `name`: the commit as given, or `PRESENT`; `commit`: its full hash."""

    name: str
    commit: str
    path: Path

    def command(self, *arguments: object) -> list[object]:
        """`vapi-sessions` with these arguments. -P: do not import from the current directory."""
        return [sys.executable, "-P", "-m", "vapi_sessions", *arguments]

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables of the command."""
        return {**environment(), "PYTHONPATH": str(self.path / "src")}

    def lines(self) -> int:
        """Lines of Python in the package."""
        files = (self.path / "src" / "vapi_sessions").rglob("*.py")
        return sum(len(file.read_bytes().splitlines()) for file in files)

    def prepare(self) -> None:
        """Compile once for all commands. Raises RuntimeError if the tree would import the package of another one."""
        source = self.path / "src"
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(source)], check=True)
        asked = "import vapi_sessions; print(vapi_sessions.__file__)"
        found = subprocess.run(
            [sys.executable, "-P", "-c", asked],
            env=self.environment,
            cwd=self.path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        if not Path(found).resolve().is_relative_to(source.resolve()):
            raise RuntimeError(f"{self.name} runs {found}, which is not in its own {source}")


def of_commit(repository: Path, name: str, path: Path) -> Tree:
    """The tree of a commit. Raises RuntimeError if there is no such commit."""
    commit = _git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
    archive = _git(repository, "archive", "--format=zip", commit)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(path, [file for file in files.namelist() if file.split("/")[0] in _PARTS])
    tree = Tree(name, commit, path)
    tree.prepare()
    return tree


def as_it_is(repository: Path, path: Path) -> Tree:
    """The working tree, with changes that are not committed."""
    for part in _PARTS:
        if (repository / part).is_dir():
            shutil.copytree(repository / part, path / part, ignore=shutil.ignore_patterns("__pycache__"))
    commit = _git(repository, "rev-parse", "HEAD").decode().strip()
    changed = _git(repository, "status", "--porcelain", "--", *_PARTS)
    tree = Tree(PRESENT, commit + (" and changes" if changed else ""), path)
    tree.prepare()
    return tree


def size_on_disk(directory: Path) -> int:
    """Bytes of all files in a directory; a file with several links counts once."""
    sizes = {}
    for parent, _, names in os.walk(directory):
        for name in names:
            found = Path(parent, name).lstat()
            sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())


def _git(repository: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=repository, capture_output=True)
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip() or "there is no such commit"
        raise RuntimeError(f"git {' '.join(arguments)}: {message}")
    return done.stdout
