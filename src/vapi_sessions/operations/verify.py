"""`vapi-sessions verify`: whether the published warehouse and the source agree, by counts or row by row."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vapi_sessions.core import resources
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import floor_ms
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.operations.findings import REBUILD, SYNC, Finding, Findings
from vapi_sessions.operations.progress import Progress, Silent
from vapi_sessions.operations.same_source import check_source
from vapi_sessions.operations.source_comparison import Published, SourceComparison
from vapi_sessions.settings import Settings
from vapi_sessions.source.client import Source
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse import checks, damage, erase, reader
from vapi_sessions.warehouse.customers import CustomersHeld
from vapi_sessions.warehouse.database_errors import published_errors
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.published_files import published_files
from vapi_sessions.warehouse.published_state import PublishedState
from vapi_sessions.warehouse.suppression import Suppression


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome. `until`: changes before this moment (µs) were compared. `unreadable`: sessions that are kept aside, name to problem;
    they count as held.
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
    everything: bool = False,
    environment: Environment | None = None,
    progress: Progress | None = None,
) -> Verified:
    """Compare counts, or with `deep` every session by its content and its rows; and run the checks of `sql/checks`.
    Findings name their first sessions, or with `everything` all of them.

    Changes after the watermark are not compared: no sync has read them yet. Raises ConfigurationError if there is nothing to verify or
    the key is another organisation's, and the errors of the client.
    """
    environment, progress = environment or Environment(), progress or Silent()
    key = settings.key()
    with reader.reading(settings.warehouse) as db:
        reader.check_version(db, settings.warehouse)
        state = PublishedState(db)
        ledger = state.ledger()
        if ledger.watermark is None or ledger.org_id is None:
            raise ConfigurationError("Nothing was read completely yet.", "Run vapi-sessions sync first.")
        check_source(state.facts, settings)
        with Source(
            settings.base_url,
            key,
            next_seq=itertools.count().__next__,
            concurrency=settings.concurrency,
            environment=environment,
            on_wait=progress.waiting,
        ) as source:
            started = environment.monotonic()
            since = state.facts.get("origin_reason") == "since"
            layout = Layout(settings.warehouse)
            suppression = Suppression.open(layout, region=settings.phone_region)
            if snapshot := state.facts.get("snapshot"):
                suppression.trust(CustomersHeld(layout.parquet / snapshot))
            # Of sessions created before the first sync's `--since` only those that changed later are held.
            window = Window(floor_ms(ledger.origin or 0) if since else 0, floor_ms(ledger.watermark))
            unreadable = state.unreadable()
            published = Published(
                db, state.live_sessions(suppression), suppression, ledger.org_id, window, unreadable
            )
            making = Findings(everything)
            comparison = SourceComparison(published, source, settings, progress, making)
            progress.phase("reading")
            findings = list(_files(state, layout, making))
            try:
                with published_errors(settings.warehouse):
                    findings += [
                        *_forgotten(state, layout, suppression, making),
                        *_failed_checks(state, layout, making),
                        *comparison.findings(deep=deep),
                    ]
                    sessions = state.row_counts()["sessions"]
            except WarehouseDamagedError:
                if not findings:
                    raise
                # The damaged files are named, with the remedy. The rest can be compared afterwards.
                sessions = sum(part.sessions for part in state.parts())
            return Verified(
                tuple(findings),
                sessions,
                ledger.watermark,
                source.traffic.requests,
                environment.monotonic() - started,
                unreadable,
            )


def _files(state: PublishedState, layout: Layout, making: Findings) -> Iterator[Finding]:
    """Published files that are missing, torn, or have a page with a wrong checksum. They are recorded for the next writer."""
    if "snapshot" not in state.facts:
        return
    files = published_files(state.parts(), layout.parquet / state.facts["snapshot"])
    bad = [path for _, _, path in files if not damage.is_sound(path)]
    if bad:
        with contextlib.suppress(OSError):  # the warehouse may be read-only
            damage.add(layout, [path.name for path in bad])
        names = (str(path.relative_to(layout.root)) for path in bad)
        are = "is" if len(bad) == 1 else "are"
        yield making.about(
            None, f"{counted(len(bad), 'published file')} {are} missing or damaged", names, SYNC
        )


def _forgotten(
    state: PublishedState, layout: Layout, suppression: Suppression, making: Findings
) -> Iterator[Finding]:
    """Sessions that are on the suppression list and still in published files or in the writer's."""
    if suppression.pending:
        yield Finding(None, "a forget was begun and not completed", (), SYNC)
    if suppression.empty:
        return
    holds = functools.cache(suppression.holds)
    ids = {session_id for session_id in state.session_ids() if holds(session_id)}
    ids |= erase.in_raw(layout, holds)
    if ids:
        what = f"{counted(len(ids), 'session was', 'sessions were')} forgotten and still held"
        yield making.about(None, what, sorted(ids), SYNC)
    elif stale := erase.snapshots_with(layout, holds):
        names = (path.name for path in stale)
        yield making.about(None, "published snapshots hold what was forgotten, or are damaged", names, SYNC)


def _failed_checks(state: PublishedState, layout: Layout, making: Findings) -> Iterator[Finding]:
    """The checks of `sql/checks` that return rows."""
    for file in resources.sql_files("checks"):
        if found := state.failed_ids(file):
            what = checks.describe(file.stem, len(found), layout.root)
            yield making.about(None, what, dict.fromkeys(found), REBUILD)
