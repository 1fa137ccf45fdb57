"""Whether the published warehouse and the source agree: by counts in seconds, or row by row. Changes nothing.

Row by row, a session agrees if its content is the source's, by its hash, and if its rows in all tables are those that this
content gives: what was lost or falsified behind the hash is found as well.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vapi_sessions.core import resources
from vapi_sessions.core.intervals import IntervalSet, Window
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.timestamps import floor_ms, show
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError, other_organisation
from vapi_sessions.operations.compare import differences
from vapi_sessions.operations.erasure import remembering
from vapi_sessions.operations.progress import Progress, Silent
from vapi_sessions.settings import Settings
from vapi_sessions.source.client import Source
from vapi_sessions.source.environment import Environment
from vapi_sessions.source.pagination import ALWAYS, Cursor, PageRead, walk
from vapi_sessions.source.planning import ask_for_the_oldest
from vapi_sessions.transform.flatten import Version, flatten
from vapi_sessions.transform.headers import Row, UnreadableRow
from vapi_sessions.transform.resolve import unreadable
from vapi_sessions.warehouse import damage, erase, fingerprints, reader
from vapi_sessions.warehouse.customers import CustomersHeld
from vapi_sessions.warehouse.database_errors import published_errors
from vapi_sessions.warehouse.index_tables import parts_of
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.live_sessions import LiveSessions
from vapi_sessions.warehouse.part_files import published_files
from vapi_sessions.warehouse.suppression import Suppression

if TYPE_CHECKING:
    import duckdb

#: So many ids are named for each difference.
IDS_NAMED: Final = 20
_SESSIONS_AT_ONCE: Final = 20_000
_RECONCILE: Final = "vapi-sessions reconcile"
_REBUILD: Final = "vapi-sessions rebuild"
_ERASE: Final = "vapi-sessions sync"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `window` bounds createdAt (µs); None: the warehouse contradicts itself, and `what` says how."""

    window: Window | None
    what: str
    ids: tuple[str, ...]
    remedy: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome. `until`: changes before this moment (µs) were held to account. `unreadable`: what is kept aside, name to
    problem; it counts as held.
    """

    findings: tuple[Finding, ...]
    sessions: int
    until: int
    requests: int
    seconds: float
    unreadable: Mapping[str, str]


def verify(
    settings: Settings,
    *,
    deep: bool = False,
    environment: Environment | None = None,
    progress: Progress | None = None,
) -> Verified:
    """Compare counts, or with `deep` every session by its content and its rows; and run the checks of `sql/checks`.

    Only what lies before the watermark is compared, and a session that changed since is none of the warehouse's
    business yet. Raises ConfigurationError if there is nothing to verify or the key is another organisation's, and
    what the client raises.
    """
    environment, progress = environment or Environment(), progress or Silent()
    key = settings.key()
    with reader.reading(settings.warehouse) as db:

        def rows(sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
            return db.execute(sql, list(parameters)).fetchall()

        reader.check_version(db, settings.warehouse)
        ledger = _ledger(rows)
        if ledger.watermark is None:
            raise ConfigurationError("Nothing was read completely yet.", "Run vapi-sessions sync first.")
        with Source(
            settings.base_url,
            key,
            next_seq=itertools.count().__next__,
            concurrency=settings.concurrency,
            environment=environment,
            on_wait=progress.waiting,
        ) as source:
            started = environment.monotonic()
            since = rows("SELECT value FROM sync.state WHERE key = 'origin_reason'") == [("since",)]
            layout = Layout(settings.warehouse)
            suppression = Suppression.open(layout, region=settings.phone_region)
            for (snapshot,) in rows("SELECT value FROM sync.state WHERE key = 'snapshot'"):
                suppression.trust(CustomersHeld(layout.parquet / snapshot))
            work = _Verification(
                source,
                db,
                LiveSessions(rows, suppression),
                ledger,
                settings,
                suppression,
                progress,
                since=since,
            )
            findings = list(_files(rows, layout))
            try:
                with published_errors(settings.warehouse):
                    findings += [
                        *_forgotten(rows, layout, suppression),
                        *_inner(rows),
                        *work.compare(deep=deep),
                    ]
                    (sessions,) = rows("SELECT count(*) FROM sessions")[0]
            except WarehouseDamagedError:
                if not findings:
                    raise
                # What is damaged is named, and how to mend it; the rest can be compared when that is done.
                sessions = sum(part.sessions for part in parts_of(rows))
            return Verified(
                tuple(findings),
                sessions,
                ledger.watermark,
                source.traffic.requests,
                environment.monotonic() - started,
                work.aside,
            )


class _Listed(NamedTuple):
    """A session at the source; times in µs. `hash`, `rows`: of its content; None: it is not compared, or may not be held.

    `readable`: whether it says what it is. If not, an older state of it may be held, or it is kept aside.
    """

    created_at: int
    updated_at: int
    allowed: bool
    hash: str | None
    rows: fingerprints.Fingerprint | None
    readable: bool = True


class _Verification:
    def __init__(
        self,
        source: Source,
        db: duckdb.DuckDBPyConnection,
        holdings: LiveSessions,
        ledger: Ledger,
        settings: Settings,
        suppression: Suppression,
        progress: Progress,
        *,
        since: bool,
    ) -> None:
        self._suppression = suppression
        self._progress = progress
        self._sanitizer = settings.sanitizer()
        self._source = source
        self._db = db
        self._holdings = holdings
        # Of what was created before the `--since` of the first sync only what changed since is held.
        self._from = floor_ms(ledger.origin or 0) if since else 0
        self._until = floor_ms(ledger.watermark or 0)
        self._settings = settings
        self._org_id = ledger.org_id
        found = db.execute("SELECT session_id, problem FROM sync.unreadable").fetchall()
        self.aside: dict[str, str] = dict(found)

    def compare(self, *, deep: bool) -> Iterator[Finding]:
        _, first = ask_for_the_oldest(self._source, self._settings.page_size)
        if first is None:
            raise ConfigurationError(
                "The source shows no session at all, so nothing can be verified.", "Check the key."
            )
        if first.org_id != self._org_id:
            raise other_organisation(
                self._settings.warehouse, str(self._org_id), self._source.shown(first.org_id)
            )
        oldest = floor_ms(first.created_at)
        ours = self._holdings.oldest()
        if ours is not None and ours < oldest:
            window = Window(floor_ms(ours), oldest)
            ids = self._holdings.ids(window)
            if ids:  # else it is something that is kept aside
                yield _finding(window, "no longer listed (aged out, or deleted)", list(ids), _RECONCILE)
        lower = max(oldest, self._from)
        if lower >= self._until:
            return
        whole = Window(lower, self._until)
        if deep:
            yield from self._row_by_row(whole)
            return
        for difference in differences(
            whole,
            lambda window: self._source.count(created=window),
            self._holdings,
            page_size=self._settings.page_size,
        ):
            yield from self._name(difference.window, self._rows(difference.window), contents=False)

    def _row_by_row(self, whole: Window) -> Iterator[Finding]:
        batch: dict[str, _Listed] = {}
        lower = whole.lower
        self._progress.planned(0, self._holdings.count(whole))
        for step in self._walk(whole):
            self._progress.read(len(step.rows))
            batch |= self._listed(step, contents=True)
            cursor = step.left[0].created_from if step.left else None
            if step.left and (len(step.left) > 1 or cursor is None or len(batch) < _SESSIONS_AT_ONCE):
                continue
            upper = cursor if cursor is not None else whole.upper
            part = {key: row for key, row in batch.items() if upper is None or row.created_at < upper}
            yield from self._name(Window(lower, upper), part, contents=True)
            batch = {key: row for key, row in batch.items() if key not in part}
            lower = upper if upper is not None else lower

    def _rows(self, window: Window) -> dict[str, _Listed]:
        found: dict[str, _Listed] = {}
        for step in self._walk(window):
            found |= self._listed(step, contents=False)
        return found

    def _walk(self, window: Window) -> Iterator[PageRead]:
        limit = partial(self._source.page_size, self._settings.page_size)
        return walk(self._source.list, [_cursor(window)], limit=limit)

    def _listed(self, step: PageRead, *, contents: bool) -> dict[str, _Listed]:
        """What is compared of a page's rows: their bodies, which may be large, need not be kept until it is."""
        odd = zip(step.unreadable, self._sanitizer.page([row.body for row in step.unreadable]), strict=True)
        return self._readable(step.rows, contents=contents) | dict(self._unreadable(*one) for one in odd)

    def _unreadable(self, row: UnreadableRow, body: bytes) -> tuple[str, _Listed]:
        found = unreadable(row, body, self._sanitizer.hash(body), requested_at=0, seq=0, run_id="")
        allowed = not self._suppression.excludes(row.session_id, row.body, self._sanitizer.policy)
        created = row.created_at if row.created_at is not None else 0
        updated = row.updated_at if row.updated_at is not None else created
        return found.session_id, _Listed(created, updated, allowed, None, None, readable=False)

    def _readable(self, rows: Sequence[Row], *, contents: bool) -> dict[str, _Listed]:
        allowed = {row.session_id for row in self._suppression.allowed(rows, self._sanitizer.policy)}
        compared = [
            row for row in rows if contents and row.session_id in allowed and row.updated_at < self._until
        ]
        bodies = self._sanitizer.page([row.body for row in compared])
        hashes = {
            row.session_id: self._sanitizer.hash(body) for row, body in zip(compared, bodies, strict=True)
        }
        versions = [
            Version(
                row.session_id, row.org_id, row.created_at, row.updated_at, 0, 0, hashes[row.session_id], body
            )
            for row, body in zip(compared, bodies, strict=True)
        ]  # fmt: skip
        prints = fingerprints.of_rows(self._db, flatten(versions).tables) if versions else {}
        return {
            row.session_id: _Listed(
                row.created_at,
                row.updated_at,
                row.session_id in allowed,
                hashes.get(row.session_id),
                prints.get(row.session_id),
            )
            for row in rows
        }

    def _name(self, window: Window, theirs: Mapping[str, _Listed], *, contents: bool) -> Iterator[Finding]:
        if window.upper is None or window.lower >= window.upper:
            return
        ours = self._holdings.ids(window)
        settled = {key: row for key, row in theirs.items() if row.updated_at < self._until and row.allowed}
        lacking = [key for key, row in settled.items() if key not in ours and row.readable]
        odd = [
            key
            for key, row in settled.items()
            if not row.readable and key not in ours and key not in self.aside
        ]
        gone = [key for key in ours if key not in theirs]
        forgotten = [key for key, row in theirs.items() if key in ours and not row.allowed]
        if lacking:
            what = "at the source and not in the warehouse"
            yield _finding(window, what, lacking, _read_again(settled[key] for key in lacking))
        if odd:  # a source that leaves them out of windows of updatedAt shows them to nobody else
            yield _finding(window, "at the source that cannot be read, and not kept aside", odd, _RECONCILE)
        if forgotten:  # by its customer, of whom the warehouse may not have known
            what = "of a customer who was forgotten, and still held"
            yield _finding(window, what, forgotten, "vapi-sessions sync --full")
        if gone:
            yield _finding(window, "in the warehouse and not at the source", gone, _RECONCILE)
        if not contents:
            return
        held = {key: row for key, row in settled.items() if key in ours and row.readable}
        newer = [key for key, row in held.items() if row.updated_at < ours[key][0]]
        if newer:
            what = "in a newer state than at the source, and so never overwritten"
            yield _finding(window, what, newer, f"{_REBUILD}, if it is not the source that went back")
        other = [
            key for key, row in held.items() if row.hash != ours[key][1] and row.updated_at >= ours[key][0]
        ]
        if other:
            what = "with another content at the source"
            yield _finding(window, what, other, _read_again(settled[key] for key in other))
        rows = fingerprints.of_published(self._db, window)
        false = [key for key, row in held.items() if row.hash == ours[key][1] and row.rows != rows.get(key)]
        if false:
            what = "with other rows than their content gives"
            yield _finding(window, what, false, _REBUILD)


def _cursor(window: Window) -> Cursor:
    return Cursor(ALWAYS, created_from=window.lower, created_until=window.upper)


def _read_again(rows: Iterable[_Listed]) -> str:
    return f"vapi-sessions sync --since {show(floor_ms(min(row.updated_at for row in rows)))}"


def _finding(window: Window, what: str, ids: list[str], remedy: str) -> Finding:
    count = f"{len(ids):,} session{'s' if len(ids) != 1 else ''} {what}"
    return Finding(window, count, tuple(sorted(ids)[:IDS_NAMED]), remedy)


def _files(rows: Any, layout: Layout) -> Iterator[Finding]:
    """Published files that are not there, not whole, or have a page that is not as it was written. The next writer learns of them."""
    facts = dict(rows("SELECT key, value FROM sync.state WHERE key = 'snapshot'"))
    if "snapshot" not in facts:
        return
    files = published_files(parts_of(rows), layout.parquet / facts["snapshot"])
    bad = [path for _, _, path in files if not damage.is_sound(path)]
    if bad:
        with contextlib.suppress(OSError):  # of a warehouse that is only to be read
            damage.add(layout, [path.name for path in bad])
        names = tuple(str(path.relative_to(layout.root)) for path in bad[:IDS_NAMED])
        yield Finding(
            None, f"{len(bad):,} published files are missing or damaged", names, "vapi-sessions sync"
        )


def _forgotten(rows: Any, layout: Layout, suppression: Suppression) -> Iterator[Finding]:
    """What is on the list of the forgotten and held all the same, in what is published or in the files of the writer."""
    if suppression.pending:
        yield Finding(None, "a forget was begun and not completed", (), _ERASE)
    if suppression.empty:
        return
    holds = remembering(suppression.holds)
    published = rows("SELECT session_id FROM sessions UNION SELECT session_id FROM sync.unreadable")
    ids = {session_id for (session_id,) in published if holds(session_id)} | erase.in_raw(layout, holds)
    if ids:
        what = f"{len(ids):,} session{'s were' if len(ids) != 1 else ' was'} forgotten and still held"
        yield Finding(None, what, tuple(sorted(ids)[:IDS_NAMED]), _ERASE)
    elif stale := erase.snapshots_with(layout, holds):
        names = tuple(path.name for path in stale[:IDS_NAMED])
        yield Finding(None, "published snapshots hold what was forgotten, or are damaged", names, _ERASE)


def _inner(rows: Any) -> Iterator[Finding]:
    """The checks of `sql/checks`, each of which must return no row."""
    for file in resources.sql_files("checks"):
        found = rows(file.read_text("utf-8"))
        if found:
            yield Finding(
                None,
                f"the check {file.stem} finds {len(found):,} rows",
                tuple(str(row[0]) for row in found[:IDS_NAMED]),
                _REBUILD,
            )


def _ledger(rows: Any) -> Ledger:
    facts = dict(rows("SELECT key, value FROM sync.state"))
    return Ledger(
        org_id=facts.get("org_id"),
        origin=int(facts["origin"]) if "origin" in facts else None,
        completed=IntervalSet(
            rows("SELECT epoch_us(lower_bound), epoch_us(upper_bound) FROM sync.intervals")
        ),
    )
