"""The unit of work: what one walk has read, sanitized, without what the warehouse holds already; stored in `raw/` and `staging/`.

Needs no database and shares nothing with other walks but the source's rate limit: held contents come in as a plain
mapping, and each stored batch goes out as a list of sightings. The coordinator decides which versions win.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vapi_sessions.core import faultpoints
from vapi_sessions.errors import other_organisation
from vapi_sessions.privacy.sanitizer import Sanitizer
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


class RequestStamp(NamedTuple):
    """When a request was sent (µs), and its number. Of two answers the one with the higher number is the later."""

    requested_at: int
    seq: int

    @classmethod
    def of(cls, page: Page) -> RequestStamp:
        """The request that a page answers."""
        return cls(page.requested_at, page.seq)


@dataclass(frozen=True, slots=True)
class PageSanitizer:
    """Turns rows of a page into observations that may be stored: redacted, under the policy, without forgotten customers.

    Thread-safe.
    """

    run_id: str
    org_id: str
    root: Path
    sanitizer: Sanitizer
    suppression: Suppression

    def clean(
        self, rows: Sequence[Row], unreadable: Sequence[UnreadableRow], request: RequestStamp
    ) -> list[Observation | Unreadable]:
        """The rows that a request showed, as they may be stored. Raises ConfigurationError for another organisation's rows."""
        organisations = {row.org_id for row in rows} | {row.org_id for row in unreadable}
        for org_id in organisations - {None, self.org_id}:
            raise other_organisation(self.root, self.org_id, str(org_id))
        policy = self.sanitizer.policy
        admitted = self.suppression.admit(rows, policy)
        odd = self.suppression.admit(unreadable, policy)
        return list(self._observe(admitted, odd, request))

    def _observe(
        self, rows: Sequence[Row], odd: Sequence[UnreadableRow], request: RequestStamp
    ) -> Iterator[Observation | Unreadable]:
        bodies = self.sanitizer.page([*(row.body for row in rows), *(row.body for row in odd)])
        for row, body in zip(rows, bodies, strict=False):
            yield Observation(
                session_id=row.session_id,
                org_id=row.org_id,
                created_at=row.created_at,
                updated_at=row.updated_at,
                requested_at=request.requested_at,
                seq=request.seq,
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
                requested_at=request.requested_at,
                seq=request.seq,
                run_id=self.run_id,
            )
            if not self.suppression.holds(found.session_id):  # a session without an id can be forgotten too
                yield found

    def tombstone(
        self, session_id: str, kind: Kind, created_at: int, updated_at: int, request: RequestStamp
    ) -> Observation:
        """The observation that the source no longer lists a session."""
        return Observation(
            session_id, self.org_id, created_at, updated_at, *request, self.run_id, kind, b"", ""
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch that is durable in `raw/` and not in the index yet. `file`: its name, "" if there was nothing to store."""

    file: str
    sightings: Sequence[Sighting | Unreadable]
    staged_batch: StagedBatch | None
    drift: Mapping[str, int]


class WindowBuffer:
    """Observations of one walk that are not stored yet. One thread at a time.

    `held`: content hashes of the sessions that the warehouse holds without a tombstone, as `Index.contents` gives them;
    equal content is not stored again. `aside`: content hashes of unreadable sessions, by name. Both are kept up to date.
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

    def take(
        self, rows: Sequence[Row], unreadable: Sequence[UnreadableRow], request: RequestStamp
    ) -> list[Observation | Unreadable]:
        """Add the rows that a request showed; returns all of them that may be stored, held already or not."""
        found = self._page_sanitizer.clean(rows, unreadable, request)
        self.sessions += len(rows) + len(unreadable)
        for one in found:
            if self._is_new(one):
                self._waiting.append(one)
                self.size += len(one.body)
        return found

    def hold(self, contents: Mapping[str, int]) -> None:
        """Add contents that the warehouse holds. What this buffer has taken since is newer and stays."""
        for name, content in contents.items():
            self._held.setdefault(name, content)

    def add(self, tombstone: Observation) -> None:
        """Add a tombstone."""
        self._waiting.append(tombstone)

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

    def store(self, progress: Mapping[str, Any]) -> Stored:
        """Write what waits, with the batch's progress in the footer. The result is durable. Raises WarehouseError."""
        waiting, self._waiting, self.size = self._waiting, [], 0
        if not waiting:
            return Stored("", (), None, {})
        file = f"{min(one.seq for one in waiting):012d}-{self._page_sanitizer.run_id}.parquet"
        raw.write(self._layout.raw, file, waiting, progress)
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
    """The observations without their content. `heads`: by session and request, of those that are flattened already."""
    return [one if isinstance(one, Unreadable) else sighting(one, _head(one, heads)) for one in observations]


def _head(one: Observation, heads: Mapping[tuple[str, int], Head]) -> Head:
    if one.kind != "seen":
        return NO_HEAD
    found = heads.get((one.session_id, one.seq))
    return found if found is not None else head_of(one.body)
