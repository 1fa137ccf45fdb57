"""Replacements in the engine while a world is played: sizes, the order in which pages arrive, and hooks."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import duckdb

from vapi_sessions.operations import compare, coordinator, reconcile, sync
from vapi_sessions.privacy import redaction
from vapi_sessions.source import pagination, windows
from vapi_sessions.warehouse import checks, part_sizes, raw_merging, snapshot_writer, snapshots, views
from vapi_sessions.warehouse.index import Index

from . import connections
from .model import Model

if TYPE_CHECKING:
    from .world import World

_NEW_VIEWS: Final = connections.made_once(views.new_views)


@contextlib.contextmanager
def scaled_down(world: World) -> Iterator[None]:
    """Smaller sizes, so that a few dozen sessions fill several windows, batches and files."""
    knobs = world.knobs
    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (coordinator, "BATCH_BYTES", knobs["batch_bytes"]),
            (windows, "PAGES_A_WINDOW", knobs["pages_a_window"]),
            (compare, "SMALL", knobs["small"]),
            (part_sizes, "SESSIONS_A_PART", knobs["sessions_a_part"]),
            (part_sizes, "SESSIONS_A_NEW_PART", max(2, knobs["sessions_a_part"] // 2)),
            (part_sizes, "NEW_SESSIONS", 2 * knobs["sessions_a_part"]),
            (part_sizes, "PUT_TOGETHER", 2),
            (coordinator, "STAGED_MOST", knobs["staged_most"]),
            (snapshot_writer, "THREADS", 1),
            (raw_merging, "AT_LEAST", 2 + world.seed % 2 if world.merging else 1_000),
            (pagination, "IDS_A_REQUEST", knobs["ids_a_request"]),
            (reconcile, "BREAKER_LEAST", knobs["breaker_least"]),
            (duckdb, "connect", functools.partial(connections.lent, duckdb.connect)),
            (views, "new_views", _NEW_VIEWS),
            (redaction, "_suspects", _remembered(redaction._suspects, world.model)),
        ):
            stack.enter_context(mock.patch.object(owner, name, value))
        if not world.checking:
            stack.enter_context(mock.patch.object(checks, "check", return_value={}))
        yield


@contextlib.contextmanager
def reordered(world: World) -> Iterator[None]:
    """Windows end in any order, and their pages reach the coordinator in another order than they were requested."""
    add, finish, rng = coordinator.Coordinator.add, sync.Run.finish, random.Random(world.seed)
    delayed = world.delayed

    def release(fits: Callable[[int], bool]) -> None:
        released = sorted({page[1] for page in delayed if fits(page[1])})
        for window in rng.sample(released, len(released)):
            for page in [page for page in delayed if page[1] == window]:  # the order within one window stays
                delayed.remove(page)
                add(*page)

    def add_later(receiver: Any, index: int, *page: Any) -> None:
        release(lambda other: other == index)
        newest = world.newest_first and page[0].window.upper is None
        if not newest and rng.random() < world.held_back:
            delayed.append((receiver, index, *page))
            world.fired["pages in another order"] += 1
        else:
            add(receiver, index, *page)
        if not world.newest_first and rng.random() < 0.1:
            release(lambda other: other != index)

    def finish_all(run: Any) -> Any:
        release(lambda index: True)
        return finish(run)

    def fetch_all(run: Any, count: int) -> None:
        order = rng.sample(range(count), count)
        if world.newest_first:
            order.sort(key=lambda index: run._plan.windows[index].window.upper is None)
        for index in order:
            run.fetch(index)

    with (
        mock.patch.object(sync, "fetch_all", fetch_all),
        mock.patch.object(coordinator.Coordinator, "add", add_later),
        mock.patch.object(sync.Run, "finish", finish_all),
    ):
        yield


@contextlib.contextmanager
def watched(world: World) -> Iterator[None]:
    """Tell the invariants what was merged, and which committed state each publication begins with."""
    publish, merge, merge_raw = snapshots.Publisher.publish, Index.merge, raw_merging.merge

    def publish_and_tell(publisher: Any, **options: Any) -> bool:
        if not world.publishing:
            return False
        invariants = world.invariants if not (world.stops.dead or world.concluding) else None
        if invariants is not None:
            invariants.committed(publisher.index)
        written = bool(publish(publisher, **options))
        record = world.run_record
        if record is not None:
            record.published = True
            if invariants is not None:
                invariants.shown(record)
        return written

    def merge_and_tell(index: Any, resolution: Any, *given: Any) -> None:
        merge(index, resolution, *given)
        if world.invariants is not None:
            world.invariants.merged(resolution)

    def merge_and_keep(directory: Path, paths: Sequence[Path], *given: Any) -> Any:
        if world.invariants is not None:
            world.invariants.merged_files.keep(paths)
        world.fired["raw files merged"] += 1
        return merge_raw(directory, paths, *given)

    with (
        mock.patch.object(raw_merging, "merge", merge_and_keep),
        mock.patch.object(snapshots.Publisher, "publish", publish_and_tell),
        mock.patch.object(Index, "merge", merge_and_tell),
    ):
        yield


Scan = Callable[[Sequence[bytes], str], list[bool]]


def _remembered(scan: Scan, model: Model) -> Scan:
    """The same scan with a memory. It scans all texts of the source at once: the same texts are read again and again, and
    building the automaton takes longer than running it.
    """
    known: dict[tuple[str, bytes], bool] = {}

    def suspects(texts: Sequence[bytes], expression: str) -> list[bool]:
        if any((expression, text) not in known for text in texts):
            held = (version.body for session in model.sessions.values() for version in session.versions)
            new = [text for text in dict.fromkeys((*texts, *held)) if (expression, text) not in known]
            known.update(
                ((expression, text), found) for text, found in zip(new, scan(new, expression), strict=True)
            )
        return [known[expression, text] for text in texts]

    return suspects
