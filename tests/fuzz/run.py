"""One world of mutated pages: read by the client, sanitized, stored, published, rebuilt, and compared."""

from __future__ import annotations

import io
import itertools
import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
from pydantic import SecretStr

import vapi_sessions
from vapi_sessions.core.ledger import RequestNumbers
from vapi_sessions.core.timestamps import show
from vapi_sessions.errors import SourceUnavailableError
from vapi_sessions.operations.coordinator import Coordinator, RunFacts
from vapi_sessions.operations.recovery import recover
from vapi_sessions.operations.window_buffer import PageSanitizer, RequestStamp
from vapi_sessions.privacy.policy import MessageText, PersonalData, Policy
from vapi_sessions.privacy.sanitizer import Sanitizer
from vapi_sessions.schema import TABLES
from vapi_sessions.source.client import Source
from vapi_sessions.source.environment import Environment
from vapi_sessions.source.list_query import Query
from vapi_sessions.warehouse import query
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout, writer_lock
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.suppression import Suppression

from .mutate import CANARY, ORG, mutated, page, session

START = 1_767_225_600_000_000  # 2026-01-01, µs
PAGES = 12


def policy(random: Random) -> Policy:
    """A random policy."""
    return Policy(random.choice(list(PersonalData)), random.choice(list(MessageText)), b"k" * 32)


def world(seed: int) -> int:
    """Play one seed; returns the number of sessions stored. Raises AssertionError, or the error of the code that failed."""
    random = Random(seed)
    clock = itertools.count(START + 86_400_000_000)
    bodies: list[bytes] = []
    numbers = RequestNumbers(1)
    source = Source(
        "http://fuzz.test",
        SecretStr("key"),
        next_seq=numbers.take,
        environment=Environment(
            now=clock.__next__,
            sleep=lambda _: None,
            monotonic=lambda: 0.0,
            transport=httpx.MockTransport(
                lambda _: httpx.Response(
                    200, content=bodies[-1], headers={"content-type": "application/json"}
                )
            ),
        ),
    )
    sanitizer = Sanitizer(policy=policy(random) if random.random() < 0.5 else Policy())
    read: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as directory:
        layout = Layout(Path(directory, "warehouse"))
        layout.create()
        with source, writer_lock(layout), Index(layout.index, layout.scratch) as index:
            publisher = Publisher(index, layout, Staging.begin(layout.staging), clock.__next__)
            coordinator = Coordinator(
                publisher,
                PageSanitizer("fuzz", ORG, layout.root, sanitizer, Suppression.open(layout)),
                RunFacts(numbers, {"org_id": ORG}),
            )
            for number in range(PAGES):
                moment = show(START + number * 3_600_000_000)
                texts = [mutated(random, session(random, n, moment)) for n in range(random.choice((1, 3, 8)))]
                bodies.append(page(random, texts))
                try:
                    found = source.list(Query())
                except SourceUnavailableError:
                    continue  # a page that is not a list of sessions is refused as a whole
                if any(row.org_id != ORG for row in found.rows):
                    continue  # the organisation id was damaged
                coordinator.add_unclaimed(found.rows, [], RequestStamp.of(found))
                coordinator.flush()
                read |= {row.session_id: row.body for row in found.rows}
            publisher.publish()
            index.checkpoint()
            held = _held(index)
            before = _tables(layout.root)
            _same_after_rebuild(layout, clock, held, before)
        _check(layout.root, read, sanitizer)
    return len(read)


def _held(index: Index) -> list[tuple[Any, ...]]:
    return index.rows("SELECT * EXCLUDE (batch) FROM sessions ORDER BY ALL")


def _tables(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    with vapi_sessions.connect(root) as db:
        return {table.name: db.execute(f"FROM {table.name} ORDER BY ALL").fetchall() for table in TABLES}


def _same_after_rebuild(
    layout: Layout, clock: Any, held: list[tuple[Any, ...]], before: dict[str, list[tuple[Any, ...]]]
) -> None:
    with Index(layout.root / "again.duckdb", layout.scratch) as again:
        recover(again, layout, now=clock.__next__)
        assert repr(_held(again)) == repr(held), "a rebuild gives another index"
        Publisher(again, layout, Staging.begin(layout.staging), clock.__next__).publish(force=True)
    assert repr(_tables(layout.root)) == repr(before), "a rebuild gives another warehouse"


def _check(root: Path, read: dict[str, bytes], sanitizer: Sanitizer) -> None:
    with vapi_sessions.connect(root) as db:
        held = {session_id for (session_id,) in db.execute("SELECT session_id FROM sessions").fetchall()}
        stored = dict(
            db.execute(f"SELECT session_id, body FROM read_parquet('{root}/raw/*.parquet')").fetchall()
        )
    assert held == set(read), "a session was lost or invented"
    for session_id, body in stored.items():
        assert CANARY not in body, "a secret was stored"
        if (
            not sanitizer.policy
            and CANARY.encode() not in read[session_id]
            and b"\\u00" not in read[session_id]
        ):
            assert body.encode() == read[session_id], "a body without a secret was changed"
    for table in TABLES:
        for output in ("csv", "json"):
            shown = io.StringIO()
            query.run(root, f"FROM {table.name}", output, shown)
            assert CANARY not in shown.getvalue()
            if output == "json":
                json.loads(shown.getvalue(), parse_int=str)
    assert sorted(path.name for path in root.parent.iterdir()) == ["warehouse"], (
        "something was written elsewhere"
    )


def fuzz(seeds: Iterable[int]) -> tuple[int, int]:
    """Play seeds one after another; returns the numbers of seeds and of sessions stored."""
    worlds = sessions = 0
    for seed in seeds:
        try:
            sessions += world(seed)
            worlds += 1
        except BaseException:
            print(f"seed {seed}: python -m tests.fuzz --seed {seed}")
            raise
    return worlds, sessions


def for_seconds(seconds: float, first: int = 0) -> Iterator[int]:
    """Seeds until the time is over; at least one."""
    began = time.monotonic()
    for seed in itertools.count(first):
        yield seed
        if time.monotonic() - began >= seconds:
            return
