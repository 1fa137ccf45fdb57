"""The unit of work: what one walk reads, as it may be stored, less what is held already, in `raw/` and flattened in `staging/`.

It needs no database, and no shared object but the source's pace: what is held comes as a plain mapping, and what it stored
goes back as one narrow list a batch. Only who receives that decides which versions win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vapi_sessions.core import faultpoints
from vapi_sessions.errors import other_organisation
from vapi_sessions.privacy.sanitizer import Sanitizer
from vapi_sessions.source.pagination import PageRead
from vapi_sessions.transform.flatten import Head, flatten, head_of
from vapi_sessions.transform.headers import Row, UnreadableRow
from vapi_sessions.transform.resolve import (
    NO_HEAD,
    Kind,
    Observation,
    Sighting,
    Unreadable,
    short,
    sighting,
    unreadable,
)
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.derive import in_order, latest, version
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.staging import StagedBatch, Staging
from vapi_sessions.warehouse.suppression import Suppression

if TYPE_CHECKING:
    from vapi_sessions.source.page import Page


@dataclass(frozen=True, slots=True)
class PageSanitizer:
    """What of a page may be stored: without secrets, under the policy, without those who were forgotten. Thread-safe."""

    run_id: str
    org_id: str
    root: Path
    sanitizer: Sanitizer
    suppression: Suppression

    def clean(self, step: PageRead) -> list[Observation | Unreadable]:
        """The sessions of one step of a walk. Raises ConfigurationError for another organisation's rows."""
        organisations = {row.org_id for row in step.rows} | {row.org_id for row in step.unreadable}
        for org_id in organisations - {None, self.org_id}:
            raise other_organisation(self.root, self.org_id, str(org_id))
        policy = self.sanitizer.policy
        rows = self.suppression.admit(step.rows, policy)
        odd = self.suppression.admit(step.unreadable, policy)
        return list(self._observe(rows, odd, step.page))

    def _observe(
        self, rows: Sequence[Row], odd: Sequence[UnreadableRow], page: Page
    ) -> Iterator[Observation | Unreadable]:
        bodies = self.sanitizer.page([*(row.body for row in rows), *(row.body for row in odd)])
        for row, body in zip(rows, bodies, strict=False):
            yield Observation(
                session_id=row.session_id,
                org_id=row.org_id,
                created_at=row.created_at,
                updated_at=row.updated_at,
                requested_at=page.requested_at,
                seq=page.seq,
                run_id=self.run_id,
                kind="seen",
                body=body,
                content_hash=self.sanitizer.hash(body),
            )
        for one, body in zip(odd, bodies[len(rows) :], strict=True):
            found = unreadable(
                one,
                body,
                self.sanitizer.hash(body),
                requested_at=page.requested_at,
                seq=page.seq,
                run_id=self.run_id,
            )
            if not self.suppression.holds(found.session_id):  # one without an id can be forgotten too
                yield found

    def tombstone(
        self, session_id: str, kind: Kind, created_at: int, updated_at: int, *, requested_at: int, seq: int
    ) -> Observation:
        """The proof that the source lists a session no longer."""
        return Observation(
            session_id, self.org_id, created_at, updated_at, requested_at, seq, self.run_id, kind, b"", ""
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch that is durable in `raw/` and not in the index yet. `file`: its name, "" if there was nothing to store."""

    file: str
    sightings: Sequence[Sighting | Unreadable]
    staged_batch: StagedBatch | None
    drift: Mapping[str, int]


class WindowBuffer:
    """What one walk has read and not stored yet. One thread at a time.

    `held`: the content that is held of sessions without a mark, as `Index.contents` gives it; what equals it is not stored again.
    It is kept up to date. `aside`: what is kept aside, name to content hash.
    """

    def __init__(
        self,
        page_sanitizer: PageSanitizer,
        layout: Layout,
        staging: Staging,
        held: MutableMapping[str, int],
        aside: Mapping[str, str],
    ) -> None:
        self._page_sanitizer = page_sanitizer
        self._layout = layout
        self._staging = staging
        self._held = held
        self._aside = dict(aside)
        self._waiting: list[Observation | Unreadable] = []
        #: Bytes of JSON that wait to be stored.
        self.size = 0
        self.sessions = 0

    def take(self, step: PageRead) -> list[Observation | Unreadable]:
        """Take in one step of the walk; returns all that it showed and that may be stored, whether held already or not."""
        found = self._page_sanitizer.clean(step)
        self.sessions += len(step.rows) + len(step.unreadable)
        for one in found:
            if self._is_new(one):
                self._waiting.append(one)
                self.size += len(one.body)
        return found

    def hold(self, contents: Mapping[str, int]) -> None:
        """What is held of some more sessions; of those that were taken in since, that stays."""
        for name, content in contents.items():
            self._held.setdefault(name, content)

    def add(self, one: Observation) -> None:
        """Take in a mark."""
        self._waiting.append(one)

    def _is_new(self, one: Observation | Unreadable) -> bool:
        name = one.session_id
        if isinstance(one, Unreadable):
            if self._aside.get(name) == one.content_hash:
                return False
            self._aside[name] = one.content_hash
            self._held.pop(name, None)
            return True
        content = short(one.content_hash)
        if self._held.get(name) == content and name not in self._aside:
            return False
        self._held[name] = content
        self._aside.pop(name, None)
        return True

    def store(self, progress: Callable[[], Mapping[str, Any]]) -> Stored:
        """Write what waits, with the progress that it means in the footer; what returns is durable. Raises WarehouseError."""
        waiting, self._waiting, self.size = self._waiting, [], 0
        if not waiting:
            return Stored("", (), None, {})
        file = f"{min(one.seq for one in waiting):012d}-{self._page_sanitizer.run_id}.parquet"
        raw.write(self._layout.raw, file, waiting, progress())
        seen = [one for one in waiting if isinstance(one, Observation) and one.kind == "seen"]
        if not seen:
            return Stored(file, sightings(waiting, {}), None, {})
        versions = in_order(version(one) for one in latest(seen))
        flat = flatten(versions)
        created = [one.created_at for one in versions]
        staged_batch = self._staging.write(file.removesuffix(".parquet"), flat.tables, created)
        faultpoints.reach("staging.written")
        heads = {(one.session_id, one.seq): head for one, head in zip(versions, flat.heads, strict=True)}
        return Stored(file, sightings(waiting, heads), staged_batch, flat.drift)


def sightings(
    observations: Sequence[Observation | Unreadable], heads: Mapping[tuple[str, int], Head]
) -> list[Sighting | Unreadable]:
    """The observations without their content. `heads`: of those that were flattened, by session and request."""
    return [one if isinstance(one, Unreadable) else sighting(one, _head(one, heads)) for one in observations]


def _head(one: Observation, heads: Mapping[tuple[str, int], Head]) -> Head:
    if one.kind != "seen":
        return NO_HEAD
    found = heads.get((one.session_id, one.seq))
    return found if found is not None else head_of(one.body)
