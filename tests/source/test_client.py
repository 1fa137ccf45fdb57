"""What the client makes of every kind of answer, how long it tries, and what it never tells."""

from __future__ import annotations

import gc
import gzip
import itertools
import json
import logging
import random
import re
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from models import EPOCH, ORG, FakeTime, RawServer
from selection import examples
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import EmulatorSettings
from vapi_sessions import __version__
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import HOUR, MILLISECOND, MINUTE, SECOND, show, to_datetime
from vapi_sessions.errors import SourceRefusedError, SourceUnavailableError, VapiSessionsError
from vapi_sessions.source.client import ATTEMPTS, FIRST_ATTEMPTS, LONGEST_RETRY_AFTER, Page, Query, Source
from vapi_sessions.source.pace import LONGEST_WAIT, MOST_JITTER, Pace

KEY = "the-very-private-key-0123456789"
BASE = "https://api.example.test"
LOCKOUT = 21.0  # seconds; recorded, without a Retry-After header
WINDOW = Window(EPOCH, EPOCH + HOUR)

Handler = Callable[[httpx.Request], httpx.Response]


class Scripted:
    """Answers with each of `answers` in turn, the last one for ever; an exception is raised."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """One answer."""
        self.requests.append(request)
        answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def session(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A session as the source shows it."""
    return {
        "id": f"session-{number}",
        "orgId": ORG,
        "createdAt": "2026-03-01T00:00:00.123Z",
        "updatedAt": "2026-03-01T00:00:01.456Z",
    } | fields


def page(*sessions: dict[str, Any], **metadata: Any) -> httpx.Response:
    """An honest list response."""
    told = {"itemsPerPage": 1000, "totalItems": len(sessions), "currentPage": 1} | metadata
    return httpx.Response(200, json={"results": list(sessions), "metadata": told})


def said(status: int, message: object = None, **headers: str) -> httpx.Response:
    """An error in the vendor's form."""
    body = {"statusCode": status, "error": "Error"} | ({} if message is None else {"message": message})
    return httpx.Response(status, json=body, headers=headers)


def text(status: int, body: str, kind: str = "text/html", **headers: str) -> httpx.Response:
    """An answer of somebody in between."""
    return httpx.Response(status, content=body.encode(), headers={"content-type": kind} | headers)


GOOD = page(session())


class Fixture:
    """A client, what it talks to, and its clock."""

    def __init__(self, handler: Handler, *, base_url: str = BASE, now: int = EPOCH) -> None:
        self.time = FakeTime(now)
        self.waits: list[tuple[float, str]] = []
        self.source = Source(
            base_url,
            SecretStr(KEY),
            next_seq=itertools.count(1).__next__,
            transport=httpx.MockTransport(handler),
            now=self.time.now,
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
            on_wait=lambda seconds, fact: self.waits.append((seconds, fact)),
        )

    def __enter__(self) -> Fixture:
        return self

    def __exit__(self, *exc: object) -> None:
        self.source.__exit__(*exc)


def ask(*answers: httpx.Response | Exception) -> Page:
    """The page that comes out after these answers."""
    with Fixture(Scripted(*answers)) as fixture:
        return fixture.source.list(Query())


def failure(*answers: httpx.Response | Exception, after_success: bool = False) -> VapiSessionsError:
    """The error that comes out after these answers."""
    given_answers = (GOOD, *answers) if after_success else answers
    with Fixture(Scripted(*given_answers)) as fixture:
        if after_success:
            fixture.source.list(Query())
        with pytest.raises(VapiSessionsError) as caught:
            fixture.source.list(Query())
    return caught.value


# -- what is asked -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(), "sortBy=createdAt&sortOrder=ASC&limit=1000"),
        (
            Query(updated=WINDOW, limit=5),
            (
                "updatedAtGe=2026-03-01T00:00:00.000Z&updatedAtLt=2026-03-01T01:00:00.000Z"
                "&sortBy=createdAt&sortOrder=ASC&limit=5"
            ),
        ),
        (
            Query(updated=Window(EPOCH, None), created=Window(EPOCH + MILLISECOND, None)),
            (
                "updatedAtGe=2026-03-01T00:00:00.000Z&createdAtGe=2026-03-01T00:00:00.001Z"
                "&sortBy=createdAt&sortOrder=ASC&limit=1000"
            ),
        ),
        (
            Query(created=WINDOW, page=3, order="DESC"),
            (
                "createdAtGe=2026-03-01T00:00:00.000Z&createdAtLt=2026-03-01T01:00:00.000Z"
                "&sortBy=createdAt&sortOrder=DESC&limit=1000&page=3"
            ),
        ),
        (Query(ids=("a", "b"), limit=1), "idAny=a,b&sortBy=createdAt&sortOrder=ASC&limit=1"),
    ],
    ids=["bare", "window", "open", "page", "ids"],
)
def test_half_open_intervals_become_the_operators_of_the_source(query: Query, expected: str) -> None:
    """Ge and Lt, the order always said, a page number only where it is not the first."""
    handler = Scripted(GOOD)
    with Fixture(handler) as fixture:
        fixture.source.list(query)
    assert httpx.QueryParams(expected) == handler.requests[0].url.params
    assert "&".join(f"{name}={value}" for name, value in query.params()) == expected


def test_requests_introduce_themselves() -> None:
    """The key as a bearer token, and a User-Agent of our own, which the CDN lets through."""
    handler = Scripted(GOOD)
    with Fixture(handler) as fixture:
        fixture.source.list(Query())
    (request,) = handler.requests
    assert (request.method, request.url.host, request.url.path) == ("GET", "api.example.test", "/session")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"].startswith(f"vapi-sessions/{__version__} ")
    assert request.headers["accept"] == "application/json"


def test_a_base_url_may_have_a_path() -> None:
    """A gateway in front of the source keeps its prefix."""
    handler = Scripted(GOOD)
    with Fixture(handler, base_url=BASE + "/gateway") as fixture:
        fixture.source.list(Query())
    assert handler.requests[0].url.path == "/gateway/session"


def test_a_count_asks_for_one_row() -> None:
    """`limit=0` is undocumented."""
    handler = Scripted(page(session(), totalItems=4321))
    with Fixture(handler) as fixture:
        assert fixture.source.count(updated=WINDOW) == 4321
    assert handler.requests[0].url.params["limit"] == "1"


# -- what is understood ------------------------------------------------------------------------------------------------


def test_a_page() -> None:
    """Rows with their moments in microseconds and their JSON untouched; the moment and order of the request."""
    one = session(1, messages=[{"role": "user", "content": "é \\u00e9 1.50"}])
    body = json.dumps({"results": [one, session(2)], "metadata": {"totalItems": 7, "itemsPerPage": 2}})
    answer = httpx.Response(200, content=body.encode(), headers={"content-type": "application/json"})
    with Fixture(Scripted(answer)) as fixture:
        found = fixture.source.list(Query(limit=2))
    first = found.rows[0]
    assert (first.session_id, first.org_id) == ("session-1", ORG)
    assert (first.created_at, first.updated_at) == (EPOCH + 123_000, EPOCH + 1_456_000)
    assert first.body.decode() == json.dumps(one)
    assert (len(found.rows), found.total, found.limit, found.seq) == (2, 7, 2, 1)
    assert (found.requested_at, found.size) == (EPOCH, len(body))


def test_requests_are_numbered_in_the_order_they_are_sent() -> None:
    """A repeated attempt is a request of its own, at a moment of its own."""
    with Fixture(Scripted(said(503), GOOD)) as fixture:
        first, second = fixture.source.list(Query()), fixture.source.list(Query())
    assert (first.seq, second.seq) == (2, 3)
    assert first.requested_at == EPOCH + SECOND // 2


@pytest.mark.parametrize(
    ("said_size", "asked", "expected"), [(100, 1000, 100), (1000, 50, 50), (0, 50, 50), (-1, 50, 50)]
)
def test_the_page_size_in_force(said_size: int, asked: int, expected: int) -> None:
    """A server may cap it; larger or meaningless values do not raise it."""
    with Fixture(Scripted(page(session(), itemsPerPage=said_size))) as fixture:
        assert fixture.source.list(Query(limit=asked)).limit == expected


def test_more_metadata_than_we_know_is_no_error() -> None:
    """Only three fields are relied on."""
    assert ask(page(session(), nextCursor="abc", totalPages=9, hasNextPage=True, surprise={})).total == 1


@pytest.mark.parametrize(
    ("metadata", "asked", "expected"),
    [
        ({}, EPOCH, False),
        ({"itemsBeyondRetention": False}, EPOCH, False),
        ({"itemsBeyondRetention": True}, EPOCH, True),
        ({"createdAtGe": show(EPOCH)}, EPOCH, False),
        ({"createdAtGe": show(EPOCH + HOUR)}, EPOCH, True),
        ({"createdAtGe": show(EPOCH + HOUR)}, None, False),
    ],
    ids=["silent", "said no", "said yes", "bound echoed", "bound echoed later", "no bound asked"],
)
def test_an_answer_may_say_that_retention_cut_it(
    metadata: dict[str, Any], asked: int | None, expected: bool
) -> None:
    """In either of the two ways known."""
    created = None if asked is None else Window(asked, None)
    with Fixture(Scripted(page(session(), **metadata))) as fixture:
        assert fixture.source.list(Query(created=created)).beyond_retention is expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"date": "Sun, 01 Mar 2026 00:05:00 GMT"}, EPOCH + 5 * MINUTE),
        ({"date": "Sun, 01 Mar 2026 00:05:00 GMT", "age": "0"}, None),
        ({"date": "Sun, 01 Mar 2026 00:05:00 GMT", "age": "77"}, None),
        ({"date": "yesterday"}, None),
        ({}, None),
    ],
    ids=["date", "fresh from a cache", "old from a cache", "no date", "nothing"],
)
def test_the_clock_of_the_source(headers: dict[str, str], expected: int | None) -> None:
    """The Date header, unless a cache answered."""
    answer = page(session())
    answer.headers.update(headers)
    assert ask(answer).server_time == expected


def test_one_session() -> None:
    """Asked for by its id, with the moment and order of the request."""
    handler = Scripted(httpx.Response(200, json=session(5)))
    with Fixture(handler) as fixture:
        row, requested_at, seq = fixture.source.get("session-5")
    assert row is not None
    assert (row.session_id, requested_at, seq) == ("session-5", EPOCH, 1)
    assert handler.requests[0].url.path == "/session/session-5"


def test_a_session_is_asked_for_by_exactly_its_id() -> None:
    """Whatever characters it holds: a 404 to a mangled address would prove nothing."""
    ids = ["plain-1", "a b", "é", "a/b", "a?b", "a#b", "a%2Fb"]
    handler = Scripted(httpx.Response(200, json=session(5)))
    with Fixture(handler) as fixture:
        for session_id in ids:
            fixture.source.get(session_id)
    paths = [request.url.raw_path.decode().removeprefix("/session/") for request in handler.requests]
    assert [unquote(path) for path in paths if "/" not in path] == ids


def test_a_session_that_is_gone() -> None:
    """The API's own 404 is the proof."""
    with Fixture(Scripted(said(404, "Not Found"))) as fixture:
        assert fixture.source.get("session-5") == (None, EPOCH, 1)


@pytest.mark.parametrize(
    "answer",
    [
        text(404, "<html>no such page</html>"),
        text(404, ""),
        text(404, "not found", "text/plain"),
        text(404, '{"statusCode":404,"mess', "application/json"),
        text(404, "", "application/json"),
        text(404, "[]", "application/json"),
    ],
    ids=["HTML", "empty", "plain text", "cut off", "empty JSON", "a list"],
)
def test_a_404_of_somebody_else_proves_nothing(answer: httpx.Response) -> None:
    """A proxy that does not know the path says nothing of the session."""
    with Fixture(Scripted(answer)) as fixture, pytest.raises(SourceUnavailableError):
        fixture.source.get("session-5")


@pytest.mark.parametrize("status", [401, 402, 403, 500])
def test_other_errors_do_not_prove_that_a_session_is_gone(status: int) -> None:
    """Only 404 does."""
    with Fixture(Scripted(said(status, "no"))) as fixture, pytest.raises(VapiSessionsError):
        fixture.source.get("session-5")


def test_the_page_size_follows_the_bytes() -> None:
    """As many as are wanted, if they take 8 MB; else pages of 2 MB; never too few, and never more than are wanted."""

    def of(size: int, count: int = 3) -> httpx.Response:
        return page(*(session(n, name="x" * size) for n in range(count)))

    answers = of(80_000), *[of(1)] * 12, of(5_000_000, 1), of(5_000_000, 1)
    with Fixture(Scripted(*answers)) as fixture:
        source = fixture.source
        assert source.page_size(1000) == 1000  # nothing is known yet
        source.list(Query())
        assert 20 < source.page_size(1000) < 30
        assert source.page_size(95) == 95
        assert source.page_size(3) == 3
        for _ in range(12):
            source.list(Query())
        assert source.page_size(1000) == 1000
        source.list(Query())
        source.list(Query())
        assert source.page_size(1000) == 20
        assert source.page_size(3) == 3


def test_a_single_session_says_little_about_the_size_of_all() -> None:
    """The count of a window comes with one session, which may be the only large one."""
    small, large = [session(n, name="x" * 5_000) for n in range(1_000)], session(1, name="x" * 300_000)
    with Fixture(Scripted(page(*small), page(large), page(large))) as fixture:
        fixture.source.list(Query(limit=1000))
        fixture.source.count()
        fixture.source.count()
        assert fixture.source.page_size(1000) == 1000


# -- the table of statuses ---------------------------------------------------------------------------------------------

REFUSED, UNAVAILABLE = SourceRefusedError, SourceUnavailableError

STATUSES: list[tuple[httpx.Response, type[VapiSessionsError], str, int]] = [
    (said(400, ["property x should not exist", "y"]), REFUSED, '400: "property x should not exist; y"', 1),
    (said(422, "no"), REFUSED, '422: "no"', 1),
    (said(401, "Invalid Key. Hot tip, …"), REFUSED, 'does not accept the key (401: "Invalid Key.', 1),
    (said(402, "Pay."), REFUSED, 'must pay first (402: "Pay.")', 1),
    (
        text(403, "error code: 1010", "text/plain"),
        REFUSED,
        "The CDN in front of the source (Cloudflare) answers 403 itself",
        1,
    ),
    (said(403, "Forbidden resource"), REFUSED, "The key may not list sessions (403", 1),
    (said(404, "Cannot GET /session"), REFUSED, f"no Sessions API at {BASE} (404", 1),
    (said(408), UNAVAILABLE, "timed out (408)", ATTEMPTS),
    (said(429, "slow down"), UNAVAILABLE, "limits the rate (429)", ATTEMPTS),
    (said(500, "oops"), UNAVAILABLE, 'the source fails (500: "oops")', ATTEMPTS),
    (text(502, "<html>Bad gateway</html>"), UNAVAILABLE, "between here and the source answers 502", ATTEMPTS),
    (text(503, "busy", "text/plain"), UNAVAILABLE, 'the source fails (503: "busy")', ATTEMPTS),
    (said(504), UNAVAILABLE, "the source fails (504", ATTEMPTS),
    (text(529, ""), UNAVAILABLE, "the source fails (529)", ATTEMPTS),
    (
        text(301, "", location="https://elsewhere.test/session"),
        REFUSED,
        "redirects to elsewhere.test (301)",
        1,
    ),
    (
        text(307, "", location="https://elsewhere.test/session"),
        REFUSED,
        "redirects to elsewhere.test (307)",
        1,
    ),
    (text(304, ""), REFUSED, "redirects elsewhere (304)", 1),
    (said(409, "conflict"), UNAVAILABLE, '409: "conflict", which no rule here covers', 1),
    (said(418, "teapot"), UNAVAILABLE, '418: "teapot", which no rule here covers', 1),
]


@pytest.mark.parametrize(
    ("answer", "kind", "fact", "requests"),
    STATUSES,
    ids=[f"{row[0].status_code} {row[0].headers.get('content-type')}" for row in STATUSES],
)
def test_statuses(answer: httpx.Response, kind: type[VapiSessionsError], fact: str, requests: int) -> None:
    """Each status has one meaning: the error says fact and remedy, and is repeated only where that may help."""
    handler = Scripted(answer)
    with Fixture(handler) as fixture, pytest.raises(VapiSessionsError) as caught:
        fixture.source.list(Query())
    assert type(caught.value) is kind
    assert fact in caught.value.fact
    assert caught.value.remedy
    assert len(handler.requests) == requests


def test_what_the_source_says_is_data() -> None:
    """Messages of the source come out on one line, without control characters, and not at full length."""
    message = "first\n\x1b[31mred\x07 " + "x" * 5000
    error = failure(said(401, message))
    assert '"first [31mred' in error.fact
    assert "\x1b" not in str(error)
    assert len(error.fact) < 300


def test_a_message_that_is_null_says_nothing() -> None:
    """The status stands alone then."""
    answer = httpx.Response(409, json={"statusCode": 409, "message": None})
    assert failure(answer).fact == "The source answers 409, which no rule here covers."


@pytest.mark.parametrize("body", ['{"message": {"a": 1}}', "[1, 2]", '"text"', "{", "[" * 100_000, "\ud800"])
def test_odd_bodies_of_errors_do_no_harm(body: str) -> None:
    """Whatever accompanies a status, the status counts."""
    answer = httpx.Response(401, content=body.encode("utf-8", "surrogatepass"))
    assert type(failure(answer)) is SourceRefusedError


# -- bodies that are not what they should be ----------------------------------------------------------------------------

WHOLE = GOOD.content
ENVELOPES: dict[str, bytes] = {
    "an array": b"[]",
    "a number": b"1",
    "null": b"null",
    "no results": b'{"metadata": {"totalItems": 0, "itemsPerPage": 10}}',
    "no metadata": b'{"results": []}',
    "results null": b'{"results": null, "metadata": {"totalItems": 0, "itemsPerPage": 10}}',
    "results an object": b'{"results": {}, "metadata": {"totalItems": 0, "itemsPerPage": 10}}',
    "no total": b'{"results": [], "metadata": {"itemsPerPage": 10}}',
    "no page size": b'{"results": [], "metadata": {"totalItems": 0}}',
    "total null": b'{"results": [], "metadata": {"totalItems": null, "itemsPerPage": 10}}',
    "total negative": b'{"results": [], "metadata": {"totalItems": -1, "itemsPerPage": 10}}',
    "total a fraction": b'{"results": [], "metadata": {"totalItems": 1.5, "itemsPerPage": 10}}',
    "an error as 200": b'{"statusCode": 500, "message": "oops"}',
    "half": WHOLE[: len(WHOLE) // 2],
    "two of it": WHOLE + WHOLE,
    "not UTF-8": WHOLE.replace(b"session-1", b"session-\xff"),
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "NaN": WHOLE.replace(b'"totalItems":1', b'"totalItems":NaN'),
    "too deep": b'{"results": [' + b"[" * 100_000,
}


@pytest.mark.parametrize("body", ENVELOPES.values(), ids=ENVELOPES)
def test_a_200_that_is_no_list_of_sessions_is_never_taken_for_one(body: bytes) -> None:
    """It is asked for again; if it stays, it is an error of the source."""
    bad = httpx.Response(200, content=body, headers={"content-type": "application/json"})
    assert [row.session_id for row in ask(bad, bad, GOOD).rows] == ["session-1"]
    error = failure(bad)
    assert type(error) is SourceUnavailableError
    assert f"Gave up after {ATTEMPTS} attempts" in error.fact


@given(st.integers(0, len(WHOLE) - 1))
@examples(60)
def test_no_prefix_of_a_page_is_a_page(length: int) -> None:
    """A body cut anywhere, without anybody noticing, is not taken for fewer rows."""
    cut = httpx.Response(200, content=WHOLE[:length], headers={"content-type": "application/json"})
    assert ask(cut, GOOD).total == 1
    assert type(failure(cut)) is SourceUnavailableError


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html>Sign in to the network</html>", "text/html"),
        (WHOLE, "text/html; charset=utf-8"),
        (WHOLE, "text/plain"),
        (WHOLE, ""),
        (b"", "application/json"),
        (b"", ""),
    ],
    ids=["HTML", "JSON said to be HTML", "JSON said to be text", "no type", "empty", "empty without a type"],
)
def test_a_200_that_is_not_json_is_never_no_rows(body: bytes, content_type: str) -> None:
    """A proxy's page and an empty body are asked for again, then told."""
    headers = {"content-type": content_type} if content_type else {}
    bad = httpx.Response(200, content=body, headers=headers)
    assert ask(bad, GOOD).total == 1
    assert type(failure(bad, after_success=True)) is SourceUnavailableError


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/hal+json"],
)
def test_json_by_any_of_its_names(content_type: str) -> None:
    """Parameters and case do not matter."""
    assert ask(httpx.Response(200, content=WHOLE, headers={"content-type": content_type})).total == 1


def test_a_lone_surrogate_does_not_keep_a_page_from_being_read() -> None:
    """Half an emoji in one session, where the source cut a text, costs neither it nor its neighbours."""
    cut = json.dumps(session(1, name="\ud83d")).encode()
    body = b'{"results": [' + cut + b", " + json.dumps(session(2)).encode() + b"], "
    body += b'"metadata": {"totalItems": 2, "itemsPerPage": 10}}'
    found = ask(httpx.Response(200, content=body, headers={"content-type": "application/json"}))
    assert [row.session_id for row in found.rows] == ["session-1", "session-2"]
    assert json.loads(found.rows[0].body)["name"] == "\ufffd"


@pytest.mark.parametrize("member", ["results", "metadata"])
def test_an_envelope_that_names_a_member_twice_is_not_taken_for_a_page(member: str) -> None:
    """Which of the two would be meant, nobody knows."""
    twice = {"results": b"[]", "metadata": b'{"totalItems": 0, "itemsPerPage": 10}'}[member]
    body = WHOLE[:-1] + b', "' + member.encode() + b'": ' + twice + b"}"
    bad = httpx.Response(200, content=body, headers={"content-type": "application/json"})
    assert ask(bad, GOOD).rows[0].session_id == "session-1"
    assert ask(bad, GOOD).total == 1


# -- retries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        said(500),
        said(429),
        said(408),
        text(502, "<html>"),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("cut"),
        httpx.WriteError("reset"),
        httpx.DecodingError("gzip"),
        httpx.ProxyError("no"),
    ],
    ids=lambda bad: type(bad).__name__ if isinstance(bad, Exception) else str(bad.status_code),
)
def test_a_passing_fault_is_survived(bad: httpx.Response | Exception) -> None:
    """Whatever failed once may pass."""
    assert ask(bad, bad, GOOD).total == 1


def test_waits_double_up_to_a_limit() -> None:
    """0.5, 1, 2 … s, none above the longest, and everybody hears of them."""
    with Fixture(Scripted(said(500))) as fixture, pytest.raises(SourceUnavailableError):
        fixture.source.list(Query())
    expected = [min(0.5 * 2**n, LONGEST_WAIT) for n in range(ATTEMPTS - 1)]
    assert fixture.time.sleeps == expected
    assert [seconds for seconds, _ in fixture.waits] == expected
    assert {fact for _, fact in fixture.waits} == {"the source fails (500)"}


def test_a_failure_ends_with_its_reason_and_a_remedy() -> None:
    """How often it was tried, what the last attempt met, and what to do."""
    error = failure(said(500), after_success=True)
    assert error.fact == f"Gave up after {ATTEMPTS} attempts: the source fails (500)."
    assert "nothing that was read is lost" in error.remedy
    assert error.exit_code == 4
    assert error.__cause__ is None


@pytest.mark.parametrize(
    "bad",
    [httpx.ConnectError("name not known"), httpx.ConnectTimeout("slow"), text(200, "<html>Welcome</html>")],
    ids=["no connection", "no answer", "a web page"],
)
def test_a_wrong_address_is_told_within_seconds(bad: httpx.Response | Exception) -> None:
    """Before the first answer a typing error is likelier than an outage."""
    handler = Scripted(bad)
    with Fixture(handler) as fixture, pytest.raises(SourceUnavailableError, match="Check --base-url"):
        fixture.source.list(Query())
    assert len(handler.requests) == FIRST_ATTEMPTS
    assert fixture.time.elapsed < 5


@pytest.mark.parametrize(
    "bad",
    [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), text(200, "<html>Maintenance</html>")],
    ids=["no connection", "no answer", "a web page"],
)
def test_an_outage_in_the_middle_is_waited_out(bad: httpx.Response | Exception) -> None:
    """After the first answer the whole budget is used."""
    handler = Scripted(GOOD, bad)
    with Fixture(handler) as fixture:
        fixture.source.list(Query())
        with pytest.raises(SourceUnavailableError, match="Run again later: nothing that was read is lost"):
            fixture.source.list(Query())
    assert len(handler.requests) == 1 + ATTEMPTS
    assert fixture.time.elapsed > LOCKOUT


@pytest.mark.parametrize("first", [said(429), said(503)], ids=["429", "503"])
def test_an_error_of_the_source_is_an_answer_too(first: httpx.Response) -> None:
    """Who was told to wait has the right address: a break of the network after that is waited out."""
    handler = Scripted(first, first, first, httpx.ConnectError("reset"), httpx.ConnectError("reset"), GOOD)
    with Fixture(handler) as fixture:
        assert fixture.source.list(Query()).total == 1


def test_each_request_has_its_own_budget() -> None:
    """Faults that pass do not add up."""
    answers = [answer for _ in range(5) for answer in (*[said(500)] * (ATTEMPTS - 1), GOOD)]
    with Fixture(Scripted(*answers)) as fixture:
        assert [fixture.source.list(Query()).total for _ in range(5)] == [1] * 5


def test_traffic_is_counted() -> None:
    """Requests, repeats, throttling, bytes and waits, for the run's record."""
    with Fixture(Scripted(said(500), said(429), GOOD)) as fixture:
        fixture.source.list(Query())
    traffic = fixture.source.traffic
    assert (traffic.requests, traffic.retries, traffic.throttled) == (3, 2, 1)
    assert traffic.bytes == len(WHOLE) + len(said(500).content) + len(said(429).content)
    assert traffic.waited == pytest.approx(sum(fixture.time.sleeps))


# -- rate limits -------------------------------------------------------------------------------------------------------


def locked_until(fixture: list[Fixture], seconds: float, **headers: str) -> Handler:
    """429 without a header until so many seconds have passed."""

    def handler(request: httpx.Request) -> httpx.Response:
        return page(session()) if fixture[0].time.elapsed >= seconds else said(429, **headers)

    return handler


def test_a_lockout_without_a_header_is_outlasted() -> None:
    """The recorded 21 s, and twice that."""
    for seconds in (LOCKOUT, 2 * LOCKOUT):
        box: list[Fixture] = []
        with Fixture(locked_until(box, seconds)) as fixture:
            box.append(fixture)
            assert fixture.source.list(Query()).total == 1
            assert fixture.time.elapsed >= seconds


@pytest.mark.parametrize("told", ["0", "1", "2"])
def test_a_lockout_with_a_header_that_is_too_short_is_outlasted(told: str) -> None:
    """A source that says "in a second" again and again is believed once."""
    box: list[Fixture] = []
    with Fixture(locked_until(box, LOCKOUT, **{"retry-after": told})) as fixture:
        box.append(fixture)
        assert fixture.source.list(Query()).total == 1


def test_a_lockout_that_does_not_end_ends_clearly() -> None:
    """Not before the recorded one would have passed, and not hours later."""
    with Fixture(Scripted(said(429))) as fixture, pytest.raises(SourceUnavailableError) as caught:
        fixture.source.list(Query())
    assert LOCKOUT < fixture.time.elapsed < 10 * 60
    assert caught.value.fact == f"Gave up after {ATTEMPTS} attempts: the source limits the rate (429)."


def test_retry_after_in_seconds() -> None:
    """The source's own word counts, no less and hardly more."""
    with Fixture(Scripted(said(429, **{"retry-after": "7"}), GOOD)) as fixture:
        fixture.source.list(Query())
    assert fixture.time.elapsed == pytest.approx(7, abs=0.1)
    assert fixture.waits == [(pytest.approx(7), "the source limits the rate (429)")]


def test_retry_after_as_a_date() -> None:
    """The other form of the same header."""
    date = format_datetime(to_datetime(EPOCH + 12 * SECOND), usegmt=True)
    with Fixture(Scripted(said(429, **{"retry-after": date}), GOOD)) as fixture:
        fixture.source.list(Query())
    assert fixture.time.elapsed == pytest.approx(12, abs=0.1)


def test_retry_after_as_a_date_is_meant_on_the_clock_that_wrote_it() -> None:
    """Between two clocks that differ by minutes, 12 s are still 12 s."""
    headers = {
        "date": format_datetime(to_datetime(EPOCH + 10 * MINUTE), usegmt=True),
        "retry-after": format_datetime(to_datetime(EPOCH + 10 * MINUTE + 12 * SECOND), usegmt=True),
    }
    with Fixture(Scripted(said(429, **headers), GOOD)) as fixture:
        fixture.source.list(Query())
    assert fixture.time.elapsed == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "Tue, 99 Foo 2026 00:00:00 GMT", "²"])
def test_a_retry_after_that_says_nothing_is_no_retry_after(value: str) -> None:
    """It is waited for the next minute then, as without one."""
    throttled = said(429)
    throttled.headers = httpx.Headers(
        [(b"content-type", b"application/json"), (b"retry-after", value.encode("latin-1"))]
    )
    with Fixture(Scripted(throttled, GOOD)) as fixture:
        fixture.source.list(Query())
    assert 60 <= fixture.time.elapsed <= 60 + MOST_JITTER


def test_a_retry_after_in_the_past_means_now() -> None:
    """A date that has passed does not stop anybody."""
    date = format_datetime(to_datetime(EPOCH - HOUR), usegmt=True)
    with Fixture(Scripted(said(429, **{"retry-after": date}), GOOD)) as fixture:
        fixture.source.list(Query())
    assert fixture.time.elapsed < 1


@pytest.mark.parametrize("value", [str(int(LONGEST_RETRY_AFTER) + 1), "86400", "9" * 400])
def test_a_huge_retry_after_is_told_at_once(value: str) -> None:
    """Nobody watches a program sleep for a day."""
    with (
        Fixture(Scripted(said(429, **{"retry-after": value}))) as fixture,
        pytest.raises(SourceUnavailableError, match=r"asks to wait (301|86400|inf) s \(429\)"),
    ):
        fixture.source.list(Query())
    assert fixture.time.sleeps == []


class TestPace:
    """One speed for all workers."""

    @pytest.fixture
    def time(self) -> FakeTime:
        return FakeTime()

    @pytest.fixture
    def pace(self, time: FakeTime) -> Pace:
        return Pace(time.monotonic, time.sleep, chance=lambda: 0.0)

    def test_nothing_waits_when_nothing_is_throttled(self, pace: Pace, time: FakeTime) -> None:
        """At full speed requests do not wait for each other."""
        for _ in range(100):
            pace.wait_turn()
        assert time.sleeps == []

    def test_a_429_to_one_holds_all_back(self, pace: Pace, time: FakeTime) -> None:
        """Whoever asks next waits as long as the one that was told."""
        wait = pace.throttled(pace.wait_turn(), None, EPOCH)
        assert wait == pytest.approx(60)
        blocked_until = time.monotonic() + wait
        starts = [pace.wait_turn() for _ in range(3)]
        assert min(starts) >= blocked_until

    def test_starts_are_spread_after_an_episode(self, pace: Pace) -> None:
        """Workers that were held back together do not all start together."""
        pace.throttled(pace.wait_turn(), None, EPOCH)
        starts = [pace.wait_turn() for _ in range(4)]
        assert all(b - a == pytest.approx(pace.interval) for a, b in itertools.pairwise(starts))
        assert pace.interval > 0

    def test_answers_to_one_episode_count_once(self, pace: Pace) -> None:
        """Six workers that are told at the same time do not wait six times as long."""
        sent = [pace.wait_turn() for _ in range(6)]
        waits = [pace.throttled(at, None, EPOCH) for at in sent]
        assert waits == [pytest.approx(60)] * 6
        assert pace.interval == pytest.approx(0.05)

    def test_the_next_episode_waits_longer(self, pace: Pace, time: FakeTime) -> None:
        """If the next minute was not enough: 15 s, then the longest wait."""
        waits = [pace.throttled(pace.wait_turn(), None, EPOCH) for _ in range(8)]
        assert waits == pytest.approx([60, 15] + [LONGEST_WAIT] * 6)

    def test_a_longer_retry_after_in_one_episode_extends_it(self, pace: Pace) -> None:
        """The most patient answer decides."""
        sent = [pace.wait_turn(), pace.wait_turn()]
        pace.throttled(sent[0], 2, EPOCH)
        assert pace.throttled(sent[1], 9, EPOCH) == pytest.approx(9)

    def test_a_shorter_retry_after_in_one_episode_does_not_shorten_it(self, pace: Pace) -> None:
        """The same."""
        sent = [pace.wait_turn(), pace.wait_turn()]
        pace.throttled(sent[0], 9, EPOCH)
        assert pace.throttled(sent[1], 2, EPOCH) == pytest.approx(9)

    def test_a_worker_that_waits_sees_the_block_extended(self, time: FakeTime) -> None:
        """Who sleeps through a 429 of another does not start into it."""
        told: list[float] = []

        def sleep(seconds: float) -> None:
            time.sleep(seconds)
            if not told:  # while we slept, another worker was told to wait ten seconds more
                told.append(pace.throttled(time.monotonic(), 10, EPOCH))

        pace = Pace(time.monotonic, sleep)
        pace.throttled(pace.wait_turn(), 3, EPOCH)
        begin = time.monotonic()
        assert pace.wait_turn() - begin == pytest.approx(13)

    def test_successes_bring_the_speed_back(self, pace: Pace) -> None:
        """The distance shrinks, and in the end is forgotten; the next episode is a first one."""
        for _ in range(4):
            pace.throttled(pace.wait_turn(), None, EPOCH)
        intervals = []
        for _ in range(60):
            intervals.append(pace.interval)
            pace.succeeded()
        assert intervals == sorted(intervals, reverse=True)
        assert pace.interval == 0
        assert pace.throttled(pace.wait_turn(), None, EPOCH) == pytest.approx(60)

    def test_the_distance_has_a_limit(self, pace: Pace) -> None:
        """However often the source throttles, there is a request every few seconds."""
        for _ in range(20):
            pace.throttled(pace.wait_turn(), None, EPOCH)
        assert pace.interval <= 5


# -- over a real connection --------------------------------------------------------------------------------------------


def http(body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A whole HTTP response, byte for byte; `length` may lie."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", "Connection: close", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


WHOLE_HTTP = http(WHOLE, length=len(WHOLE))
PACKED = gzip.compress(WHOLE, mtime=0)
CUT: dict[str, bytes] = {
    "nothing at all": b"",
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a cut head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "a short body": http(WHOLE[:-30], length=len(WHOLE)),
    "no body": http(b"", length=len(WHOLE)),
    "an unfinished chunk": http(b"%x\r\n" % len(WHOLE) + WHOLE[:50], "Transfer-Encoding: chunked"),
    "no last chunk": http(b"%x\r\n" % len(WHOLE) + WHOLE + b"\r\n", "Transfer-Encoding: chunked"),
    "a cut body of no length": http(WHOLE[:-30]),
    "cut gzip": http(PACKED[:-20], "Content-Encoding: gzip", length=len(PACKED) - 20),
    "cut gzip of no length": http(PACKED[: len(PACKED) // 2], "Content-Encoding: gzip"),
    "gzip that is none": http(WHOLE, "Content-Encoding: gzip", length=len(WHOLE)),
}


@pytest.fixture
def over_the_wire() -> Iterator[Callable[[RawServer], Source]]:
    """Clients of a real server, whose sleeps take no time."""
    sources: list[Source] = []

    def connect(server: RawServer) -> Source:
        time = FakeTime()
        sources.append(
            Source(
                server.url,
                SecretStr(KEY),
                next_seq=itertools.count(1).__next__,
                monotonic=time.monotonic,
                sleep=time.sleep,
            )
        )
        return sources[-1]

    yield connect
    for source in sources:
        source.__exit__()


@pytest.mark.parametrize("answer", CUT.values(), ids=CUT)
def test_a_body_cut_off_is_asked_for_again(
    answer: bytes, over_the_wire: Callable[[RawServer], Source]
) -> None:
    """However a connection breaks, what had arrived is not taken for the whole."""
    with RawServer(answer, answer, WHOLE_HTTP) as server:
        found = over_the_wire(server).list(Query())
        assert [row.session_id for row in found.rows] == ["session-1"]
        assert len(server.heads) == 3


@pytest.mark.parametrize("answer", CUT.values(), ids=CUT)
def test_a_body_that_is_always_cut_off_is_an_error(
    answer: bytes, over_the_wire: Callable[[RawServer], Source]
) -> None:
    """It never becomes an empty list."""
    with RawServer(answer) as server, pytest.raises(SourceUnavailableError, match="Gave up after"):
        over_the_wire(server).list(Query())


@pytest.mark.parametrize(
    "answer",
    [
        http(PACKED, "Content-Encoding: gzip", length=len(PACKED)),
        http(b"%x\r\n" % len(WHOLE) + WHOLE + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        http(WHOLE),
    ],
    ids=["gzip", "chunks", "until the connection closes"],
)
def test_whole_bodies_in_every_form(answer: bytes, over_the_wire: Callable[[RawServer], Source]) -> None:
    """The ways of sending that are right stay right."""
    with RawServer(answer) as server:
        assert over_the_wire(server).list(Query()).total == 1
        assert len(server.heads) == 1


def test_a_redirect_does_not_get_the_key(over_the_wire: Callable[[RawServer], Source]) -> None:
    """Nothing is sent to where a redirect points."""
    with RawServer(WHOLE_HTTP) as elsewhere:
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}/session\r\nContent-Length: 0\r\n\r\n"
        with (
            RawServer(redirect.encode()) as server,
            pytest.raises(SourceRefusedError, match="the key is not sent on"),
        ):
            over_the_wire(server).list(Query())
        assert elsewhere.heads == []


def test_the_address_that_refuses_is_named(over_the_wire: Callable[[RawServer], Source]) -> None:
    """Nobody listens: the message says where."""
    with RawServer(WHOLE_HTTP) as server:
        url = server.url
    with pytest.raises(SourceUnavailableError, match=re.escape(f"{url} cannot be reached")):
        over_the_wire(server).list(Query())


def test_threads_do_not_close_each_others_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one pool may; made likely here by a pause wherever one of them judges or takes a connection."""
    handle = httpcore.HTTP11Connection.handle_request

    def expired(connection: httpcore.HTTP11Connection) -> bool:
        if not connection.is_idle():
            return False
        for _ in range(10):
            if connection._network_stream.get_extra_info("is_readable"):
                return True
            time.sleep(0.001)
        return False

    def slowly(connection: httpcore.HTTP11Connection, request: httpcore.Request) -> httpcore.Response:
        time.sleep(0.002)
        return handle(connection, request)

    monkeypatch.setattr(httpcore.HTTP11Connection, "has_expired", expired)
    monkeypatch.setattr(httpcore.HTTP11Connection, "handle_request", slowly)
    settings = EmulatorSettings(keys={KEY: ORG})
    with EmulatorServer(settings) as server, ThreadPoolExecutor(4) as pool:
        source = Source(server.url, SecretStr(KEY), next_seq=itertools.count(1).__next__, concurrency=4)
        with source:
            totals = list(pool.map(lambda _: source.count(), range(60)))
    assert totals == [0] * 60
    assert (source.traffic.requests, source.traffic.retries) == (60, 0)


def test_no_more_requests_at_once_than_allowed() -> None:
    """Whoever comes while that many are under way waits; the connections are then used again."""
    lock, under_way, most = threading.Lock(), 0, 0
    two = threading.Barrier(2)

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        two.wait(200)
        time.sleep(0.01)  # for a third one
        with lock:
            under_way -= 1
        return page()

    numbers = itertools.count(1).__next__
    transport = httpx.MockTransport(answer)
    with (
        Source(BASE, SecretStr(KEY), next_seq=numbers, concurrency=2, transport=transport) as source,
        ThreadPoolExecutor(6) as pool,
    ):
        assert list(pool.map(lambda _: source.count(), range(12))) == [0] * 12
    assert most == 2


# -- the key -----------------------------------------------------------------------------------------------------------


def told(error: BaseException) -> str:
    """Everything an error says, with all that hangs on it."""
    parts = [repr(error), str(error), repr(vars(error))]
    parts += [told(other) for other in (error.__cause__, error.__context__) if other is not None]
    return "\n".join(parts)


@pytest.mark.parametrize(
    "answers",
    [
        [WHOLE_HTTP],
        [http(b'{"message": "no"}').replace(b"200 OK", b"401 Unauthorized")],
        [http(b"oops").replace(b"200 OK", b"500 Internal Server Error")],
        [http(WHOLE[:-30], length=len(WHOLE))],
        [b""],
    ],
    ids=["success", "401", "500", "cut", "nothing"],
)
def test_the_key_is_in_no_log_and_no_error(
    answers: Sequence[bytes],
    over_the_wire: Callable[[RawServer], Source],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not even with every logger at DEBUG, the transport's included."""
    caplog.set_level(logging.DEBUG)
    with RawServer(*answers) as server:
        source = over_the_wire(server)
        error = None
        try:
            source.list(Query())
        except VapiSessionsError as caught:
            error = caught
        assert error is None or KEY not in told(error)
        assert any(f"Bearer {KEY}" in head for head in server.heads)
    logged = [record.getMessage() + repr(record.args) for record in caplog.records]
    assert any("httpcore" in record.name for record in caplog.records)
    assert not [line for line in logged if KEY in line]


def test_the_key_is_in_no_repr() -> None:
    """Neither the client's nor its parts'."""
    with Fixture(Scripted(GOOD)) as fixture:
        source = fixture.source
        shown = [repr(source), repr(source.pace), repr(source.traffic), repr(vars(source))]
        assert BASE in shown[0]
        assert KEY not in "".join(shown)


def test_a_key_that_the_source_repeats_is_not_repeated_by_us() -> None:
    """Error messages end up in logs and in the published record of runs."""
    errors = [failure(said(status, f"Invalid key {KEY}")) for status in (400, 401, 403, 404, 409, 500)]
    assert [error for error in errors if KEY in told(error)] == []


@pytest.mark.parametrize("apart", ["", "\u200b"])
def test_no_part_of_a_key_that_the_source_repeats_is_repeated_by_us(apart: str) -> None:
    """Wherever the message is cut, and whatever that cannot be seen stands in the key."""
    key = KEY[:3] + apart + KEY[3:]
    for before in range(100, 170):
        texts = [said(401, "x" * before + key), text(401, "x" * before + key, "text/plain")]
        assert [error for error in map(failure, texts) if KEY[:4] in told(error)] == []


def test_a_content_type_is_repeated_like_any_text_of_the_source() -> None:
    """Without the key, and not at any length."""
    error = failure(text(200, "x", "x" * 150 + KEY))
    assert KEY[:4] not in told(error)
    assert len(str(failure(text(200, "x", "x" * 5_000)))) < 500


# -- whatever comes ----------------------------------------------------------------------------------------------------


def test_random_rubbish_is_an_error_of_ours_or_a_page() -> None:
    """No status, header or body makes anything else come out."""
    rng = random.Random(1)
    bodies = [WHOLE, b"", b"{}", b"[]", b"\xff\xfe", b"<html>", *ENVELOPES.values()]
    kinds = ["application/json", "text/html", "", "application/json; charset=latin-1", ";;;", "\xe9"]
    dates = [
        "",
        "Mon, 01 Jan 0001 00:00:00 +9999",
        "Fri, 31 Dec 9999 23:59:59 -9999",
        "0",
        "Sun, 01 Mar 2026",
    ]
    for _ in range(300):
        headers = [
            (b"content-type", rng.choice(kinds).encode("latin-1")),
            (b"date", rng.choice(dates).encode()),
            (b"retry-after", rng.choice([*dates, "5", "0", "99"]).encode()),
        ]
        status = rng.choice([200, 200, 200, 201, 204, 206, 304, 400, 404, 408, 429, 500, 599])
        answer = httpx.Response(status, content=rng.choice(bodies), headers=headers)
        try:
            outcome = ask(answer).total
        except VapiSessionsError as error:
            outcome = error.exit_code
        assert outcome in (1, 3, 4)


def test_a_page_is_freed_when_it_is_let_go() -> None:
    """Without waiting for the cycle collector: several pages of megabytes would pile up until it looks."""
    body = page(session(name="x" * 3_000_000)).content

    class Stream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield body[:1000]
            yield body[1000:]

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=Stream())

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        with Fixture(handler) as fixture:
            fixture.source.list(Query())  # what is made once
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(3):
                fixture.source.list(Query())
            after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 1_000_000
