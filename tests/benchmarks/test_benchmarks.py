"""The benchmark measures correctly: its pages are repeatable, and its server and its measurements are right."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

import vapi_sessions
from vapi_sessions.core.timestamps import parse, parse_http_date
from vapi_sessions.operations import sync
from vapi_sessions.settings import load_settings

from . import measure, outcome, parts
from .dataset import HOUR, Dataset, build, build_hours, read_at
from .pages import END, PLANTED, Mix, iso
from .replay import ReplayServer

pytestmark = pytest.mark.proof
SESSIONS = 500
CHANGES = 20


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A history and one batch of changes."""
    path = tmp_path_factory.mktemp("bench") / "plain.bodies"
    return build(path, "plain", SESSIONS, batches=1, changes=CHANGES)


@pytest.fixture(scope="module")
def server(dataset: Dataset) -> Iterator[ReplayServer]:
    """A server of the data set."""
    with ReplayServer(dataset) as server:
        yield server


def _decoded(dataset: Dataset) -> list[dict[str, Any]]:
    """All versions: first the history, then the changes."""
    versions: list[dict[str, Any]] = json.loads(b"[" + dataset.bodies.read_bytes()[:-1] + b"]")
    return versions


def _state(dataset: Dataset, moment: int = END) -> dict[str, dict[str, Any]]:
    """The sessions that the source shows at a moment (µs), found by comparing all versions."""
    shown: dict[str, dict[str, Any]] = {}
    for version in _decoded(dataset):
        if parse(version["updatedAt"]) <= moment:
            before = shown.get(version["id"])
            if before is None or before["updatedAt"] < version["updatedAt"]:
                shown[version["id"]] = version
    return shown


def _list(server: ReplayServer, **asked: str) -> httpx.Response:
    return httpx.get(f"{server.url}/session", params={"sortBy": "createdAt", "sortOrder": "ASC", **asked})


@pytest.mark.parametrize("mix", get_args(Mix))
def test_pages_depend_on_the_seed_and_no_two_sessions_share_a_message(mix: Mix, tmp_path: Path) -> None:
    """Two builds with one seed are equal, and a build with another seed differs."""
    same = [build(tmp_path / name, mix, 30, seed=7).bodies.read_bytes() for name in ("a.bodies", "b.bodies")]
    assert same[0] == same[1]
    other = build(tmp_path / "c.bodies", mix, 30, seed=8)
    assert other.bodies.read_bytes() != same[0]
    said = [json.dumps(m, sort_keys=True) for row in _decoded(other) for m in row["messages"]]
    assert len(said) == len(set(said))


@pytest.mark.parametrize(
    ("mix", "least", "most"),
    [("plain", 5.5, 7.5), ("inline", 24, 30), ("long", 110, 150), ("artifacts", 10, 20), ("large", 40, 60)],
)
def test_sessions_are_as_large_as_the_mix_says(mix: Mix, least: float, most: float, tmp_path: Path) -> None:
    """In KB a session. Times are in order, and only embedded assistants have credentials."""
    made = build(tmp_path / "sized.bodies", mix, 400 if mix in ("plain", "large") else 60)
    assert least <= made.size / made.sessions / 1000 <= most
    rows = _decoded(made)
    assert [row["createdAt"] for row in rows] == sorted(row["createdAt"] for row in rows)
    assert all(row["createdAt"] <= row["updatedAt"] < iso(END) for row in rows)
    assert (PLANTED.encode() in made.bodies.read_bytes()) == (mix in ("inline", "large"))


def test_the_server_applies_filters_order_and_paging(dataset: Dataset, server: ReplayServer) -> None:
    """Random windows of both timestamps, at two moments."""
    rng = random.Random(3)
    for moment in (END, read_at(0)):
        server.set(moment=moment)
        rows = sorted(_state(dataset, moment).values(), key=lambda row: row["createdAt"])
        for _ in range(20):
            created = sorted(rng.choice(rows)["createdAt"] for _ in range(2))
            updated = sorted(rng.choice(rows)["updatedAt"] for _ in range(2))
            expected = [
                row
                for row in rows
                if created[0] <= row["createdAt"] < created[1] and updated[0] <= row["updatedAt"] < updated[1]
            ]
            page, limit = rng.randrange(1, 4), rng.choice((1, 7, 100))
            response = _list(
                server, createdAtGe=created[0], createdAtLt=created[1], updatedAtGe=updated[0], updatedAtLt=updated[1],
                page=str(page), limit=str(limit), sortOrder=(order := rng.choice(("ASC", "DESC"))),
            )  # fmt: skip
            ordered = expected if order == "ASC" else expected[::-1]
            assert response.json() == {
                "results": ordered[(page - 1) * limit : page * limit],
                "metadata": {"itemsPerPage": limit, "totalItems": len(expected), "currentPage": page},
            }
            assert parse_http_date(response.headers["date"]) == moment
        ids = [row["id"] for row in rng.sample(rows, 5)]
        assert _list(server, idAny=",".join(ids)).json()["metadata"]["totalItems"] == 5
    assert _list(server, pageSize="3").status_code == 400


def test_a_sync_from_the_server_stores_exactly_its_sessions(
    dataset: Dataset, server: ReplayServer, tmp_path: Path
) -> None:
    """First all of them, then the changes: ids, times, costs and numbers of messages."""
    settings = load_settings(warehouse=tmp_path / "w", base_url=server.url, api_key=SecretStr("key"))
    read = []
    for moment in (END, read_at(0)):
        server.set(moment=moment)
        counts = sync.sync(settings).counts
        read.append((counts.sessions_new, counts.sessions_changed))
        with vapi_sessions.connect(settings.warehouse) as db:
            found = db.execute(
                "SELECT session_id, epoch_us(updated_at), message_count, cost_usd FROM sessions"
            ).fetchall()
        there = _state(dataset, moment)
        assert sorted(found) == sorted(
            (row["id"], parse(row["updatedAt"]), len(row["messages"]), row["cost"]) for row in there.values()
        )
    assert read == [(SESSIONS, 0), (0, CHANGES)]


def test_the_server_counts_requests_and_when_all_slots_are_taken(server: ReplayServer) -> None:
    """Three slow requests at once fill three slots for a while; a single one never does."""
    server.set(latency=2, slots=3)
    threads = [threading.Thread(target=_list, args=(server,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = server.counted()
    assert (counted.requests, counted.most_in_flight, counted.in_flight) == (3, 3, 0)
    assert 0 < counted.seconds_all_in_flight < counted.span
    server.set(slots=3)
    received = len(_list(server).content)
    alone = server.counted()
    assert (alone.requests, alone.bytes, alone.seconds_all_in_flight) == (1, received, 0)


def test_the_least_work_loads_everything(dataset: Dataset, server: ReplayServer, tmp_path: Path) -> None:
    """It writes every row of each table and each file."""
    server.set()
    found = parts.run(server.url, SESSIONS, tmp_path)
    rows = _state(dataset, END).values()
    expected = {"sessions": SESSIONS} | {
        name: sum(len(row[name]) for row in rows) for name in ("messages", "costs")
    }
    assert found["rows"] == expected
    assert set(found["seconds"]) == {"download", "splitting", "columns", "insert", "raw/", "snapshot"}
    assert min(found["seconds"].values()) > 0
    for name, count in {**expected, "raw": SESSIONS}.items():
        assert pq.read_metadata(tmp_path / f"{name}.parquet").num_rows == count
    bodies = [json.loads(text) for text in pq.read_table(tmp_path / "raw.parquet").column("body").to_pylist()]
    assert sorted(bodies, key=lambda row: row["id"]) == sorted(rows, key=lambda row: row["id"])


def test_conversations_grow_over_the_hours(tmp_path: Path) -> None:
    """Later states have more sessions, and no session loses messages."""
    made = build_hours(tmp_path / "hours.bodies", 40, hours=6, versions=4)
    before: dict[str, dict[str, Any]] = {}
    for hour in range(7):
        shown = _state(made, END - (6 - hour) * HOUR)
        assert before.keys() <= shown.keys()
        assert all(len(row["messages"]) <= len(shown[name]["messages"]) for name, row in before.items())
        before = shown
    assert len(before) == 40
    assert {row["status"] for row in before.values()} == {"completed"}


_BUSY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; held = b'x' * 80_000_000; time.sleep(2)"])
until = time.process_time() + 0.3
while time.process_time() < until:
    pass
child.wait()
print("done")
"""


def test_cpu_and_memory_of_the_whole_tree_are_measured() -> None:
    """The memory of a child process counts, and so does the CPU time of its parent."""
    measured = measure.run([sys.executable, "-c", _BUSY])
    assert measured.output == "done\n"
    assert measured.cpu >= 0.3
    assert measured.wall >= 2
    assert 80_000_000 < measured.memory < 400_000_000
    idle = measure.run([sys.executable, "-c", "import time; time.sleep(0.2)"])
    assert idle.memory < measured.memory
    assert idle.cpu < measured.cpu


def test_a_failing_command_is_an_error() -> None:
    """The message contains its output."""
    with pytest.raises(RuntimeError, match="ended with 3:\nno luck"):
        measure.run([sys.executable, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)"])


def test_the_table_says_which_bounds_are_missed() -> None:
    """A row without a bound has no verdict."""
    rows = [
        outcome.Row("full", "faster than dlt", 26.0, "x", at_least=25),
        outcome.Row("full", "times downloading", 5.5, "x", at_most=5),
        outcome.Row("mixes", "times downloading", 7.0, "x"),
    ]
    assert [row.verdict for row in rows] == ["ok", "MISSED", ""]
    assert [line.split()[-1] for line in outcome.table(rows).splitlines()[1:]] == ["ok", "MISSED", "7.00x"]
