"""The locations of `sql/` and `flows/`, inside an installed wheel or beside `src/` in a checkout, as `notebooks/` always is."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def directory(name: str) -> Path:
    """The directory `name`: `sql`, `flows` or `notebooks`."""
    inside = _PACKAGE / f"_{name}"
    return inside if inside.is_dir() else _PACKAGE.parents[1] / name


def sql_files(kind: str) -> list[Path]:
    """The files of `sql/<kind>` (`views` or `checks`), sorted by name."""
    return sorted((directory("sql") / kind).glob("*.sql"))
