"""Compares the published warehouse with the source: by counts, or row by row.

Row by row, a session agrees if its content hash equals the source's, and if its rows in all tables are those that this content
gives. So rows that were lost or falsified are found although the hash is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import floor_ms, show
from vapi_sessions.errors import ConfigurationError, other_organisation
from vapi_sessions.operations.compare import differences, walk_created
from vapi_sessions.operations.findings import REBUILD, RECONCILE, Finding, Findings
from vapi_sessions.operations.progress import Progress
from vapi_sessions.settings import Settings
from vapi_sessions.source.client import Source
from vapi_sessions.source.pagination import PageRead
from vapi_sessions.source.planning import ask_for_the_oldest
from vapi_sessions.transform.flatten import Version, flatten
from vapi_sessions.transform.headers import Row, UnreadableRow
from vapi_sessions.transform.resolve import unreadable_name
from vapi_sessions.warehouse import fingerprints
from vapi_sessions.warehouse.live_sessions import LiveSessions
from vapi_sessions.warehouse.suppression import Suppression

if TYPE_CHECKING:
    import duckdb

_SESSIONS_AT_ONCE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Published:
    """The published warehouse of one organisation.

    `window`: sessions created in it are compared, and their changes before its end. `unreadable`: sessions that are kept aside, name
    to problem; they count as held.
    """

    db: duckdb.DuckDBPyConnection
    live_sessions: LiveSessions
    suppression: Suppression
    org_id: str
    window: Window
    unreadable: Mapping[str, str]


class _Listed(NamedTuple):
    """A session at the source; times in µs. `hash`, `rows`: of its content; None: not compared, or not allowed.

    `allowed`: it may be stored. `readable`: if not, an older state of it may be held, or it is kept aside.
    """

    created_at: int
    updated_at: int
    allowed: bool
    hash: str | None
    rows: fingerprints.Fingerprint | None
    readable: bool = True


class SourceComparison:
    """Finds the differences between the published warehouse and the source."""

    def __init__(
        self,
        published: Published,
        source: Source,
        settings: Settings,
        progress: Progress,
        findings: Findings,
    ) -> None:
        self._findings = findings
        self._published = published
        self._live_sessions = published.live_sessions
        self._until = published.window.upper or 0
        self._source = source
        self._settings = settings
        self._sanitizer = settings.sanitizer()
        self._progress = progress

    def findings(self, *, deep: bool) -> Iterator[Finding]:
        """All differences, oldest first: by counts, or with `deep` row by row. Raises ConfigurationError for another organisation's
        key, or if the source lists nothing.
        """
        _, first = ask_for_the_oldest(self._source, self._settings.page_size)
        if first is None:
            raise ConfigurationError(
                "The source shows no session at all, so nothing can be verified.", "Check the key."
            )
        if first.org_id != self._published.org_id:
            raise other_organisation(
                self._settings.warehouse, self._published.org_id, self._source.shown(first.org_id)
            )
        oldest = floor_ms(first.created_at)
        ours = self._live_sessions.oldest()
        if ours is not None and ours < oldest:
            window = Window(floor_ms(ours), oldest)
            ids = self._live_sessions.ids(window)
            if ids:  # otherwise only unreadable sessions are older
                yield self._findings.sessions(
                    window, "no longer listed (aged out, or deleted)", ids, RECONCILE
                )
        lower = max(oldest, self._published.window.lower)
        if lower >= self._until:
            return
        whole = Window(lower, self._until)
        yield from self._row_by_row(whole) if deep else self._by_counts(whole)

    def _by_counts(self, whole: Window) -> Iterator[Finding]:
        page_size = self._settings.page_size
        for difference in differences(
            whole,
            lambda window: self._source.count(created=window),
            self._live_sessions,
            page_size=page_size,
        ):
            listed: dict[str, _Listed] = {}
            for page_read in walk_created(self._source, difference.window, page_size):
                listed |= self._listed(page_read, contents=False)
            yield from self._differing(difference.window, listed, contents=False)

    def _row_by_row(self, whole: Window) -> Iterator[Finding]:
        waiting: dict[str, _Listed] = {}
        lower = whole.lower
        self._progress.planned(0, self._live_sessions.count(whole))
        for page_read in walk_created(self._source, whole, self._settings.page_size):
            self._progress.read(len(page_read.rows))
            waiting |= self._listed(page_read, contents=True)
            left = page_read.left
            position = left[0].created_from if left else None
            if left and (len(left) > 1 or position is None or len(waiting) < _SESSIONS_AT_ONCE):
                continue
            upper = position if position is not None else whole.upper
            part = {key: row for key, row in waiting.items() if upper is None or row.created_at < upper}
            yield from self._differing(Window(lower, upper), part, contents=True)
            waiting = {key: row for key, row in waiting.items() if key not in part}
            lower = upper if upper is not None else lower

    # -- sessions at the source ------------------------------------------------------------------------------------

    def _listed(self, page_read: PageRead, *, contents: bool) -> dict[str, _Listed]:
        """The sessions of a page, without their bodies, which may be large."""
        odd = page_read.unreadable
        bodies = self._sanitizer.page([row.body for row in odd])
        return self._readable(page_read, contents=contents) | dict(map(self._unreadable, odd, bodies))

    def _unreadable(self, row: UnreadableRow, body: bytes) -> tuple[str, _Listed]:
        allowed = not self._published.suppression.excludes(row.session_id, row.body, self._sanitizer.policy)
        created = row.created_at if row.created_at is not None else 0
        updated = row.updated_at if row.updated_at is not None else created
        name = unreadable_name(row, self._sanitizer.hash(body))
        return name, _Listed(created, updated, allowed, None, None, readable=False)

    def _readable(self, page_read: PageRead, *, contents: bool) -> dict[str, _Listed]:
        rows, suppression = page_read.rows, self._published.suppression
        allowed = {row.session_id for row in suppression.allowed(rows, self._sanitizer.policy)}
        versions = self._versions(
            page_read,
            [row for row in rows if contents and row.session_id in allowed and row.updated_at < self._until],
        )
        hashes = {version.session_id: version.content_hash for version in versions}
        prints = fingerprints.of_rows(self._published.db, flatten(versions).tables) if versions else {}
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

    def _versions(self, page_read: PageRead, rows: Sequence[Row]) -> list[Version]:
        """These rows of a page, as they would be stored."""
        bodies = self._sanitizer.page([row.body for row in rows])
        return [
            Version(
                session_id=row.session_id,
                org_id=row.org_id,
                created_at=row.created_at,
                updated_at=row.updated_at,
                requested_at=page_read.page.requested_at,
                seq=page_read.page.seq,
                content_hash=self._sanitizer.hash(body),
                body=body,
            )
            for row, body in zip(rows, bodies, strict=True)
        ]

    # -- differences in a window -------------------------------------------------------------------------------------

    def _differing(
        self, window: Window, listed: Mapping[str, _Listed], *, contents: bool
    ) -> Iterator[Finding]:
        if window.upper is None or window.lower >= window.upper:
            return
        ours = self._live_sessions.ids(window)
        settled = {key: row for key, row in listed.items() if row.updated_at < self._until and row.allowed}
        missing = [key for key, row in settled.items() if key not in ours and row.readable]
        if missing:
            what = "at the source and not in the warehouse"
            yield self._findings.sessions(window, what, missing, _sync_since(settled[key] for key in missing))
        odd = [
            key
            for key, row in settled.items()
            if not row.readable and key not in ours and key not in self._published.unreadable
        ]
        if odd:  # a source may leave sessions without `updatedAt` out of windows of it, so no sync sees them
            what = "at the source that cannot be read, and not kept aside"
            yield self._findings.sessions(window, what, odd, RECONCILE)
        forgotten = [key for key, row in listed.items() if key in ours and not row.allowed]
        if forgotten:  # the warehouse may not know whose sessions they are
            what = "of a customer who was forgotten, and still held"
            yield self._findings.sessions(window, what, forgotten, "vapi-sessions sync --full")
        gone = [key for key in ours if key not in listed]
        if gone:
            yield self._findings.sessions(window, "in the warehouse and not at the source", gone, RECONCILE)
        if contents:
            held = {key: row for key, row in settled.items() if key in ours and row.readable}
            yield from self._differing_contents(window, held, ours)

    def _differing_contents(
        self, window: Window, held: Mapping[str, _Listed], ours: Mapping[str, tuple[int, str]]
    ) -> Iterator[Finding]:
        newer = [key for key, row in held.items() if row.updated_at < ours[key][0]]
        if newer:
            what = "in a newer state than at the source, and so never overwritten"
            yield self._findings.sessions(
                window, what, newer, f"{REBUILD}, unless the source was restored from a backup"
            )
        changed = [
            key for key, row in held.items() if row.hash != ours[key][1] and row.updated_at >= ours[key][0]
        ]
        if changed:
            what = "with another content at the source"
            yield self._findings.sessions(window, what, changed, _sync_since(held[key] for key in changed))
        rows = fingerprints.of_published(self._published.db, window)
        false = [key for key, row in held.items() if row.hash == ours[key][1] and row.rows != rows.get(key)]
        if false:
            yield self._findings.sessions(window, "with other rows than their content gives", false, REBUILD)


def _sync_since(rows: Iterable[_Listed]) -> str:
    return f"vapi-sessions sync --since {show(floor_ms(min(row.updated_at for row in rows)))}"
