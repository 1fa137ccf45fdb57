"""Published snapshots: each shows one committed state, which does not change for readers that have opened it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow.parquet as pq

import vapi_sessions
from vapi_sessions import schema
from vapi_sessions.core.timestamps import HOUR, show

from . import expected
from .claims import Claims
from .connections import Parsed
from .observed import HEADS_HELD, HEADS_PUBLISHED, claimed, observing
from .violation import Violation

if TYPE_CHECKING:
    from .record import RunRecord
    from .world import World


def _of_each_table(*wanted: Callable[[schema.Table], str]) -> str:
    parts = [
        f"SELECT '{table.name}' AS part, {', '.join(column(table) for column in wanted)} FROM {table.name}"
        for table in schema.TABLES
    ]
    return " UNION ALL ".join(parts) + " ORDER BY part"


def _hashed(table: schema.Table) -> str:
    columns = ", ".join(f"{c.name}::VARCHAR" if c.type == "JSON" else c.name for c in table.columns)
    return f"count(*), sum(hash({columns})::HUGEINT)::VARCHAR"


def _excess(table: schema.Table) -> str:
    return f"count(*) - count(DISTINCT ({', '.join(table.key)}))"


_DIGEST: Final = _of_each_table(_hashed)
_KEYS: Final = _of_each_table(_excess)


def _holding(directory: Path, names: set[str]) -> set[str]:
    """The raw files that have the rows of those named: where small files were merged since, those that replace them."""
    missing = {name for name in names if not (directory / name).exists()}
    merged = {
        path.name
        for path in (directory.glob("*-merged-*.parquet") if missing else ())
        if missing & set(json.loads(pq.read_schema(path).metadata[b"vapi_sessions.progress"])["replaces"])
    }
    return (names - missing) | merged


class Published(Claims):
    """Compares published snapshots with raw/ and with the states that were committed."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        #: Digest of the index after the last run.
        self._digest: Any = None
        #: Digests of the snapshots found after runs.
        self._published: list[Any] = []
        #: Each with the digest that it saw first, and when.
        self._readers: list[tuple[duckdb.DuckDBPyConnection, Any, int]] = []
        #: Digests of the states with which publications began.
        self.published_states: list[Any] = []
        self._raw = expected.Files(world.warehouse / "raw")
        #: The snapshot and the raw files that were compared last.
        self._compared: Any = None

    def _publication(self, record: RunRecord) -> None:
        if not (self.world.warehouse / "vapi.duckdb").exists():
            if record.succeeded and self.world.publishing and record.command != "maintain":
                raise Violation("a successful run is published")
            return
        with observing(self.world.warehouse / "vapi.duckdb") as db:
            (digest,) = db.execute(HEADS_PUBLISHED).fetchall()
            for name, excess in db.execute(_KEYS).fetchall():
                if excess:
                    raise Violation("ids are unique", f"{excess} rows too many in {name}")
            spans = claimed(db)
            self._is_what_raw_says(db)
        if record.succeeded and (digest != self._digest or spans != self._completed):
            raise Violation("what is published is what was committed")
        if not record.succeeded and digest not in (self._digest, *self._published, *self.published_states):
            raise Violation("what is published is one committed state", record.command)
        if digest not in self._published:
            self._published.append(digest)
        self._readers_keep()
        for db, *_ in self._readers[:-1]:
            db.close()
        self._readers = self._readers[-1:]

    def committed(self, index: Any) -> None:
        """Remember the state with which a publication begins."""
        (digest,) = index.rows(HEADS_HELD)
        if digest in self.published_states:
            self.published_states.remove(digest)
        self.published_states.append(digest)

    def shown(self, record: RunRecord) -> None:
        """Check a finished publication of a run that may go on: it shows the state it began with, and its own ledger fits it."""
        if self._since is None:
            self._since = record.started
        aside, self._unsure = self._aside, bool(record.faulty or self.world.lag or self.world.reordering)
        with observing(self.world.warehouse / "vapi.duckdb") as db:
            (digest,) = db.execute(HEADS_PUBLISHED).fetchall()
            if digest != self.published_states[-1]:
                raise Violation("what is published is what was committed", "while a run goes on")
            self._is_what_raw_says(db)
            held = dict(db.execute("SELECT session_id, epoch_us(updated_at) FROM sessions").fetchall())
            spans = claimed(db)
            self._aside = {
                name for (name,) in db.execute("SELECT session_id FROM sync.unreadable").fetchall()
            }
        for session_id, earlier in self._held.items():
            if held.get(session_id, 0) < earlier.updated_at:
                raise Violation("no version goes backwards", f"{session_id}, in what is shown")
        name = "a snapshot claims only what it holds"
        if self.world.key == "key":
            self._claims_are_read(spans - self._completed, held, self.world.clock.true, name)
        self._aside = aside

    def _is_what_raw_says(self, db: Parsed) -> None:
        """Every table equals, in every column, what follows from the raw files that the snapshot's own ledger names."""
        files = {name for (name,) in db.execute("SELECT file FROM sync.batches").fetchall()}
        of = "SELECT value FROM sync.state WHERE key IN ('snapshot', 'published_at') ORDER BY key"
        snapshot = db.execute(of).fetchall()
        if (snapshot, files) != self._compared:
            self._tables_are(db, self._raw.histories(_holding(self.world.warehouse / "raw", files)))
            self._compared = snapshot, files

    def open_reader(self) -> None:
        """A reader opens the warehouse in the middle of a run."""
        if not (self.world.warehouse / "vapi.duckdb").exists():
            return
        db = vapi_sessions.connect(self.world.warehouse)
        digest = db.execute(_DIGEST).fetchall()
        self._readers.append((db, digest, self.world.clock.ours()))
        self.world.fired["reader holds files"] += 1
        self._is_what_raw_says(Parsed(db))
        (heads,) = db.execute(HEADS_PUBLISHED).fetchall()
        if heads not in self._published and heads not in self.published_states:
            raise Violation("what is published is one committed state", "seen by a reader during a run")

    def release(self) -> None:
        """Close all readers."""
        for db, *_ in self._readers:
            db.close()
        self._readers = []

    def _tables_are(self, db: Parsed, raw: dict[str, expected.History]) -> None:
        sessions = self.world.model.sessions
        odd = {session_id for session_id in raw if any(v.odd for v in sessions[session_id].versions)}
        want = expected.tables(raw, odd)
        for table in schema.TABLES:
            self._table_is(table, want[table.name], db)

    def _table_is(self, table: schema.Table, want: Any, db: Parsed) -> None:
        columns = ", ".join(
            f"epoch_us({c.name})"
            if c.type == "TIMESTAMPTZ"
            else f"{c.name}::VARCHAR"
            if c.type == "JSON"
            else c.name
            for c in table.columns
        )
        names = [c.name for c in table.columns]
        json_at = [i for i, c in enumerate(table.columns) if c.type == "JSON"]
        found = {}
        rows = db.execute(f"SELECT {columns} FROM {table.name}").fetchall()
        for values in rows:
            row = list(values)
            for i in json_at:
                row[i] = json.loads(row[i]) if row[i] is not None else None
            whole = dict(zip(names, row, strict=True))
            found[tuple(whole[key] for key in table.key)] = whole
        if len(found) != len(rows):
            raise Violation(
                "every row is published once", f"{len(rows)} rows of {len(found)} in {table.name}"
            )
        if found == want:
            return
        for key in sorted(found.keys() | want.keys(), key=repr):
            if found.get(key) != want.get(key):
                differs = {
                    name: (found.get(key, {}).get(name), want.get(key, {}).get(name))
                    for name in names
                    if found.get(key, {}).get(name) != want.get(key, {}).get(name)
                }
                raise Violation("every table is equal in every column", f"{table.name} {key}: {differs}")

    def _readers_keep(self) -> None:
        """A reader sees the same rows for a day, whatever is published meanwhile."""
        for db, was, opened in self._readers:
            if self.world.clock.ours() - opened > 23 * HOUR:  # our clock jumps
                continue
            try:
                now = db.execute(_DIGEST).fetchall()
            except duckdb.Error as error:
                raise Violation("a reader keeps what it opened", str(error)[:200]) from error
            if now != was:
                raise Violation("a reader keeps what it opened", show(opened))
