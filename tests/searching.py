"""Search all files of a warehouse for a text: their bytes, rows of Parquet files, rows of databases."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pyarrow.parquet as pq


def found_in(directory: Path, *patterns: str) -> dict[str, list[str]]:
    """File to the matches of the patterns in it, compressed or not; {} without a match."""
    wanted = re.compile("|".join(patterns).encode())
    found: dict[str, list[str]] = {}
    for path in sorted(directory.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        texts = [path.read_bytes(), *_decoded(path)]
        hits = {match.decode() for text in texts for match in wanted.findall(text)}
        if hits:
            found[str(path.relative_to(directory))] = sorted(hits)
    return found


def _decoded(path: Path) -> list[bytes]:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            return [repr(file.read().to_pydict()).encode(), repr(file.metadata.metadata).encode()]
    if path.suffix == ".duckdb":
        with duckdb.connect(path, read_only=True) as db:
            tables = db.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal"
            ).fetchall()
            return [repr(db.execute(f"FROM {s}.{t}").fetchall()).encode() for s, t in tables]
    return []
