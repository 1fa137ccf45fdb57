"""Pages with odd JSON in some of their sessions: every session is read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

import httpx
import pytest

from batches import observation
from beside import ODD_PAGE, needs_odd_page
from constants import ORG
from transports import RealTransport
from vapi_sessions.operations import sync
from vapi_sessions.source import page
from vapi_sessions.source.environment import Environment
from vapi_sessions.transform.headers import Row, UnreadableRow, read_session
from worlds import World

TIMES = '"createdAt":"2026-03-01T00:00:00.000Z","updatedAt":"2026-03-01T00:00:00.000Z"'
#: Members of a session, as JSON text.
ODD = {
    "half an emoji": r'"metadata":{"half":"\ud83d"}',
    "the other half": r'"name":"\ude00"',
    "absurd depth": '"metadata":' + "[" * 3_000 + "]" * 3_000,
    "deep objects": '"artifact":' + '{"a":' * 3_000 + "1" + "}" * 3_000,
    "a repeated key": '"name":"first","name":"second"',
    "a repeated id": '"id":"none"',
    "NUL": r'"name":"a\u0000b"',
    "an endless integer": '"metadata":{"n":' + "9" * 6_000 + "}",
    "a huge exponent": '"cost":1e99999',
    "brackets in a text": r'"name":"]}[{\"\\"',
    "white space": ' \n"name" \t: "x" ',
    "an emoji": '"name":"😀"',
}


def session(number: int, *members: str) -> str:
    return "{" + ",".join((*members, f'"id":"session-{number}"', f'"orgId":"{ORG}"', TIMES)) + "}"


def response(texts: Sequence[str]) -> bytes:
    metadata = f'"metadata":{{"totalItems":{len(texts)},"itemsPerPage":100}}'
    return f'{{"results":[{",".join(texts)}],{metadata}}}'.encode()


def ids(body: bytes) -> list[str]:
    """The ids of the sessions of a page, as the client reads it."""
    rows = [read_session(text) for text in page.split(body)[1]]
    return [row.session_id if isinstance(row, Row) else row.problem for row in rows]


@pytest.mark.parametrize("pair", list(itertools.combinations_with_replacement(ODD, 2)), ids=" and ".join)
def test_any_two_oddities_on_one_page_or_in_one_session_are_read(pair: tuple[str, str]) -> None:
    """Each session is read with its own id, and so is the ordinary one between them."""
    first, second = (ODD[name] for name in pair)
    for texts in (
        [session(1, first), session(2), session(3, second)],
        [session(1, second), session(2), session(3, first)],
        [session(1, first, second), session(2), session(3)],
    ):
        assert ids(response(texts)) == ["session-1", "session-2", "session-3"]


class _Odd(RealTransport):
    """The source, with extra members in the sessions of each list."""

    def __init__(self, members: Sequence[str]) -> None:
        super().__init__()
        self._members = members

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        answer.read()
        found = json.loads(answer.content)
        texts = [json.dumps(session) for session in found["results"]]
        odd = [f"{{{self._members[n % len(self._members)]},{text[1:]}" for n, text in enumerate(texts)]
        body = f'{{"results":[{",".join(odd)}],"metadata":{json.dumps(found["metadata"])}}}'
        headers = {name: answer.headers[name] for name in ("content-type", "date")}
        return httpx.Response(200, headers=headers, content=body.encode())


def _cases() -> list[str]:
    """The members of sessions that once failed together."""
    if not ODD_PAGE.is_file():
        return []
    return [line.strip()[1:-1] for line in ODD_PAGE.read_text().splitlines()]


@pytest.mark.parametrize(
    "members",
    [list(ODD.values()), pytest.param(_cases(), marks=needs_odd_page)],
    ids=["all of them", "those that once failed"],
)
def test_a_sync_reads_pages_of_oddities(world: World, members: list[str]) -> None:
    """Every session has a row, and a second sync finds nothing new."""
    start = world.ago(days=1)
    there = world.insert(24, lambda n: (start + n * 1_000_000, start + n * 1_000_000))
    environment = Environment(world.clock.us, world.clock.monotonic, world.clock.sleep, _Odd(members))
    for new in (24, 0):
        summary = sync.sync(world.settings(page_size=100), environment=environment)
        assert summary.counts.sessions_new == new
        assert summary.unreadable == {}
    assert {name for (name,) in world.rows("SELECT session_id FROM sessions")} == set(there)


@pytest.mark.parametrize("results", ["{}", '{"a":{"b":"\\ud83d"}}', "null", '"[]"'])
def test_a_page_whose_results_are_not_a_list_is_refused(results: str) -> None:
    """Even if the page has to be split at its brackets."""
    deep = "[" * 3_000 + "]" * 3_000
    body = f'{{"results":{results},"x":{deep},"metadata":{{"totalItems":0,"itemsPerPage":1}}}}'.encode()
    with pytest.raises((ValueError, RecursionError)):
        page.split(body)


def test_the_observations_of_other_tests_are_read_like_sessions() -> None:
    """Their times are numbers, which the client reports."""
    row = read_session(observation("a", 1).body)
    assert isinstance(row, UnreadableRow)
    assert row.problem == "createdAt is not a time, updatedAt is not a time"
