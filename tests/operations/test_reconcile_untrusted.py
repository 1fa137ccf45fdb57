"""Failed, partial or empty readings, and those of another organisation, mark nothing."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from pydantic import SecretStr
from reconciling import DELETED, delete, run, tombstones

from selection import first
from synced_worlds import hourly, ids, synced_world
from transports import RealTransport
from vapi_sessions.errors import (
    ConfigurationError,
    SourceInconsistentError,
    SourceUnavailableError,
    VapiSessionsError,
)
from worlds import RecordedProgress, World

template, world = synced_world(hourly(120, newest_hours=2))


def test_another_organisations_key_marks_nothing(world: World) -> None:
    """All our sessions are missing there; the key is refused instead."""
    keys = {**world.server.settings.keys, "another": "0e111a70-0000-4000-8000-00000000000b"}
    world.server.configure(keys=keys)
    world.insert(3, lambda n: (world.ago(hours=9),) * 2, org_id=keys["another"])
    with pytest.raises(ConfigurationError, match="belongs to organisation"):
        run(world, api_key=SecretStr("another"))
    assert tombstones(world) == (0, 0)


def test_a_source_without_sessions_marks_nothing(world: World) -> None:
    """An empty list is no proof: the key may be another organisation's."""
    world.server.store.clear()
    notes = RecordedProgress()
    done = run(world, progress=notes)
    assert (done.counts.deleted, done.counts.aged_out, done.checked) == (0, 0, 0)
    assert notes.said == ["the source shows no session at all: nothing is marked"]
    assert tombstones(world) == (0, 0)


class Spoiling(RealTransport):
    """Changes the responses from the n-th request on."""

    def __init__(self, first: int, spoil: Callable[[httpx.Request, httpx.Response], httpx.Response]) -> None:
        super().__init__()
        self._left, self._spoil = first, spoil

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        self._left -= 1
        return response if self._left > 0 else self._spoil(request, response)


def _short(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    answer = json.loads(response.read())
    if "results" in answer and len(answer["results"]) > 1:
        answer["results"] = answer["results"][: len(answer["results"]) // 2]
    return httpx.Response(response.status_code, headers=_json(response), content=json.dumps(answer).encode())


def _emptied(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    answer = json.loads(response.read())
    if request.url.params.get("limit", "1") != "1":
        answer["results"] = []
    return httpx.Response(response.status_code, headers=_json(response), content=json.dumps(answer).encode())


def _failing(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    response.read()
    return httpx.Response(503)


def _lost(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    """A 404 of something in between, which says nothing about the session."""
    response.read()
    if request.url.path == "/session":
        return httpx.Response(200, headers=_json(response), content=response.content)
    return httpx.Response(404, headers={"content-type": "text/html"}, content=b"<h1>not here</h1>")


def _json(response: httpx.Response) -> dict[str, str]:
    return {"content-type": "application/json", "date": response.headers["date"]}


@pytest.mark.parametrize(
    ("first", "spoil", "error"),
    first(
        [
            (1, _short, SourceInconsistentError),
            (5, _failing, SourceUnavailableError),
            (1, _emptied, SourceInconsistentError),
            (1, _lost, SourceUnavailableError),
            (2, _failing, SourceUnavailableError),
            (8, _failing, SourceUnavailableError),
        ],
        1,
    ),
)
def test_a_partial_or_failed_reading_marks_nothing(
    world: World,
    first: int,
    spoil: Callable[[httpx.Request, httpx.Response], httpx.Response],
    error: type[VapiSessionsError],
) -> None:
    """With deletions and a retention at the source: no tombstone of either kind. The next reconcile marks the deletions."""
    gone = [ids(world)[n] for n in (70, 71, 90)]
    delete(world, *gone)
    world.server.configure(retention_days=4)
    with pytest.raises(error):
        run(world, Spoiling(first, spoil))
    assert tombstones(world) == (0, 0)
    run(world)
    assert [row[0] for row in world.rows(DELETED)] == sorted(gone)
