"""The least work for this job with these libraries: each page goes once through the libraries that every sync needs.

httpx downloads the page, msgspec splits it into sessions, Arrow's JSON reader makes columns of them, and DuckDB inserts these
into a file in one transaction. The texts are written as Parquet with zstd (raw/), the rows as Parquet with snappy (a
snapshot). One thread, one page after another, without redaction, comparison, hashes, ledger or recovery. No complete sync can
take less time than this.

`python -m tests.benchmarks.parts URL SESSIONS DIRECTORY` prints the processor seconds of each part and the rows of each table.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import httpx
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from vapi_sessions.core import memory

_text, _number = pa.string(), pa.float64()
_FUNCTION: Final = pa.struct({"name": _text, "arguments": _text})
_CALLS: Final = pa.list_(pa.struct({"id": _text, "type": _text, "function": _FUNCTION}))
_MESSAGE: Final = pa.struct(
    {
        **dict.fromkeys(("role", "content", "name", "tool_call_id", "message", "toolCallId"), _text),
        **dict.fromkeys(("time", "endTime", "secondsFromStart", "duration"), _number),
        **dict.fromkeys(("tool_calls", "toolCalls"), _CALLS),
    }
)
_COST: Final = pa.struct(
    {
        **dict.fromkeys(("type", "analysisType"), _text),
        "model": pa.struct({"provider": _text, "model": _text}),
        **dict.fromkeys(("promptTokens", "completionTokens", "cachedPromptTokens"), pa.int64()),
        "cost": _number,
    }
)
_SESSION: Final = pa.schema(
    {
        **dict.fromkeys(("id", "orgId", "createdAt", "updatedAt", "status", "name"), _text),
        **dict.fromkeys(("assistantId", "phoneNumberId"), _text),
        "expirationSeconds": pa.int64(),
        "customer": pa.struct({"name": _text, "number": _text, "email": _text}),
        "cost": _number,
        "messages": pa.list_(_MESSAGE),
        "costs": pa.list_(_COST),
    }
)
_CHILDREN: Final = ("messages", "costs")


class _Answer(msgspec.Struct):
    results: list[msgspec.Raw]


class _Spent:
    """Adds up the processor seconds of each part."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Measure the body of the `with`."""
        began = time.process_time()
        try:
            yield
        finally:
            self.seconds[part] += time.process_time() - began  # type: ignore[assignment]  # seconds, not a count


def _columns(bodies: list[bytes]) -> dict[str, pa.Table]:
    """The columns of the sessions, and of their messages and costs with the session's id."""
    lines = b"\n".join(bodies)
    table = pyarrow.json.read_json(
        pa.BufferReader(lines),
        pyarrow.json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        pyarrow.json.ParseOptions(explicit_schema=_SESSION, unexpected_field_behavior="ignore"),
    ).combine_chunks()
    found = {"sessions": table.drop_columns(list(_CHILDREN))}
    ids = table.column("id").chunk(0)
    for name in _CHILDREN:
        lists = table.column(name).chunk(0)
        owners = pc.list_parent_indices(lists)
        rows = pa.Table.from_struct_array(lists.flatten())
        found[name] = rows.append_column("session_id", ids.take(owners))
    return found


def run(url: str, sessions: int, directory: Path) -> dict[str, Any]:
    """All parts, page by page; returns the seconds of each part and the rows of each table."""
    spent = _Spent()
    decoder = msgspec.json.Decoder(_Answer)
    writers: dict[str, pq.ParquetWriter] = {}
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=url, timeout=60))
        db = stack.enter_context(duckdb.connect(str(directory / "rows.duckdb"), config={"threads": 1}))
        # Half the time, for 70 % more on disk.
        db.execute("SET force_compression = 'uncompressed'").fetchall()
        db.begin()
        for page in range(1, -(-sessions // 1000) + 1):
            with spent.on("download"):
                asked = {"sortBy": "createdAt", "sortOrder": "ASC", "limit": "1000", "page": str(page)}
                content = client.get("/session", params=asked).raise_for_status().content
            with spent.on("splitting"):
                bodies = [bytes(raw) for raw in decoder.decode(content).results]
            with spent.on("columns"):
                tables = _columns(bodies)
            raw = pa.table({"body": pa.array(bodies, pa.binary()).cast(pa.string())})
            for name, table in tables.items():
                with spent.on("insert"):
                    db.register("incoming", table)
                    insert = "INSERT INTO" if page > 1 else "CREATE TABLE"
                    db.execute(
                        f"{insert} {name} {'' if page > 1 else 'AS'} SELECT * FROM incoming"
                    ).fetchall()
                    db.unregister("incoming")
            for name, table, compression in (
                ("raw", raw, "zstd"),
                *((n, t, "snappy") for n, t in tables.items()),
            ):
                with spent.on("raw/" if name == "raw" else "snapshot"):
                    if name not in writers:
                        file = directory / f"{name}.parquet"
                        writers[name] = stack.enter_context(
                            pq.ParquetWriter(file, table.schema, compression=compression)
                        )
                    writers[name].write_table(table)
        with spent.on("insert"):
            db.commit()
            db.execute("CHECKPOINT").fetchall()
        rows = {
            name: db.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
            for name in ("sessions", *_CHILDREN)
        }
    return {"rows": rows, "seconds": {part: round(seconds, 3) for part, seconds in spent.seconds.items()}}


def main() -> None:
    """Run with the arguments of the command line."""
    url, sessions, directory = sys.argv[1:]
    pa.set_cpu_count(1)
    print(json.dumps(run(url, int(sessions), Path(directory))))


if __name__ == "__main__":
    memory.stay_flat()
    main()
