"""The limits on the size of a response: on the wire, decoded, and in its headers."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import KEY, session

from selection import examples, first
from servers import Behaviour, ScriptedServer, http_head, http_response, sends, source_of
from vapi_sessions.errors import SourceRefusedError, SourceUnavailableError
from vapi_sessions.source import client, connection, retries
from vapi_sessions.source.client import Source
from vapi_sessions.source.compression import Decoder, EncodingError, TooLargeError
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.pagination import ALWAYS, Cursor, walk

#: The limit in these tests, bytes.
MOST: Final = 200_000


def _deflated(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


#: The accepted encodings: the name of each, and a function that encodes.
ENCODED: Final[dict[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "none": ("", bytes),
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZIP", gzip.compress),
    "several members": ("gzip", lambda data: gzip.compress(data[:7]) + gzip.compress(b"") + gzip.compress(data[7:])),
    "zlib": ("deflate", zlib.compress),
    "deflate": ("deflate", _deflated),
}  # fmt: skip


def decoded(encoding: str, body: bytes, most: int, size: int) -> bytes:
    """The body, decoded in chunks of `size` bytes."""
    decoder = Decoder(encoding, most)
    for at in range(0, len(body), size):
        decoder.feed(body[at : at + size])
    return decoder.finish()


@pytest.mark.parametrize(("encoding", "encode"), ENCODED.values(), ids=ENCODED)
@given(content=st.binary(max_size=3_000), times=st.sampled_from([1, 500]), size=st.integers(2, 5_000))
@examples(60)
def test_a_body_is_decoded_up_to_the_limit(
    encoding: str, encode: Callable[[bytes], bytes], content: bytes, times: int, size: int
) -> None:
    """For any size of chunks. One byte more than the limit is an error."""
    content *= times
    body = encode(content)
    most = max(len(content), len(body))
    assert decoded(encoding, body, most, size) == content
    if content:
        with pytest.raises(TooLargeError):
            decoded(encoding, body, len(content) - 1, size)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "gzip;q=1", "chunked"])
def test_an_encoding_that_was_not_offered_is_refused(encoding: str) -> None:
    """Nested encodings multiply the size of a few bytes."""
    with pytest.raises(EncodingError):
        Decoder(encoding, MOST)


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"x" * 999)[:-9], b"no gzip", gzip.compress(b"x") + b"rest"],
    ids=[
        "truncated",
        "not gzip",
        "trailing bytes",
    ],  # the bytes differ each time, because gzip has a timestamp
)
def test_invalid_gzip_is_refused(body: bytes) -> None:
    """Truncated, not gzip, or with trailing bytes."""
    with pytest.raises(EncodingError):
        decoded("gzip", body, MOST, 1_000)


# -- over the wire -----------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[ScriptedServer], Source]]:
    """Makes clients of a server, with the limits of these tests."""
    for module in (client, connection):
        monkeypatch.setattr(module, "LARGEST_RESPONSE", MOST)
    monkeypatch.setattr(connection, "_LARGEST_ERROR", MOST // 10)
    made: list[Source] = []

    def make(server: ScriptedServer) -> Source:
        made.append(source_of(server.url, KEY))
        return made[-1]

    yield make
    for source in made:
        source.__exit__()


def pours(beginning: bytes, chunk: bytes) -> Behaviour:
    """Sends a chunk again and again, as fast as the client reads."""

    def behave(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(beginning)
        try:
            while not closing.is_set():
                connection.sendall(chunk)
        except OSError:  # the client has closed the connection
            return

    return behave


def bomb(layers: int = 1) -> bytes:
    """Fifty megabytes, compressed to some kilobytes."""
    body = b" " * 50_000_000
    for _ in range(layers):
        body = gzip.compress(body)
    return body


def _gzipped(body: bytes, encoding: str = "gzip") -> Behaviour:
    return sends(http_response(body, f"Content-Encoding: {encoding}"))


ENDLESS: Final[dict[str, Behaviour]] = {
    "a body without a length": pours(http_head(), b"x" * 50_000),
    "a body of ten gigabytes": pours(http_head("Content-Length: 10000000000"), b"x" * 50_000),
    "chunks": pours(http_head("Transfer-Encoding: chunked"), b"2710\r\n" + b"x" * 10_000 + b"\r\n"),
    "a gzip of zeros": _gzipped(bomb()),
    "gzip without an end": pours(http_head("Content-Encoding: gzip"), gzip.compress(os.urandom(9_000))),
    "small chunks": pours(http_head("Transfer-Encoding: chunked"), b"a\r\nxxxxxxxxxx\r\n" * 2_000),
}


@pytest.mark.parametrize("behaviour", first(ENDLESS.values(), 5), ids=ENDLESS)
def test_an_endless_response_is_read_up_to_the_limit(
    ask: Callable[[ScriptedServer], Source], behaviour: Behaviour
) -> None:
    """The page is requested with fewer rows first. The error names the limit. Memory stays small."""
    with ScriptedServer(behaviour) as server:
        source = ask(server)
        tracemalloc.start()
        with pytest.raises(SourceUnavailableError, match="larger than the limit of 0 MB") as caught:
            source.list(Query())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        limits = [line.split("limit=")[1].split(" ")[0] for line in server.heads]
    assert limits == ["1000", "125", "15", "1"]
    assert caught.value.exit_code == 4
    assert peak < 9_000_000  # of fifty
    with ScriptedServer(behaviour) as server, pytest.raises(SourceUnavailableError, match="A session of"):
        ask(server).get("x")


@pytest.mark.parametrize(
    "behaviour",
    [
        pours(http_head()[:-2], b"X-More: " + b"x" * 1_000 + b"\r\n"),
        pours(http_head()[:-2] + b"X-More: ", b"x" * 10_000),
        pours(b"HTTP/1.1 200 ", b"O" * 10_000),
        pours(http_head("Transfer-Encoding: chunked") + b"1;", b"x" * 10_000),
        pours(http_head("Transfer-Encoding: chunked") + b"0\r\n", b"X-More: x\r\n"),
        _gzipped(bomb(2), "gzip, gzip"),
        _gzipped(b"abc", "br"),
    ],
    ids=[
        "headers",
        "a header",
        "the status line",
        "a chunk's extension",
        "trailers",
        "gzip of gzip",
        "Brotli",
    ],
)
def test_endless_headers_and_unknown_encodings_are_a_broken_connection(
    ask: Callable[[ScriptedServer], Source], behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is repeated, then it is an error."""
    monkeypatch.setattr(retries, "ATTEMPTS", 2)
    with (
        ScriptedServer(behaviour) as server,
        pytest.raises(SourceUnavailableError, match="the connection broke"),
    ):
        ask(server).list(Query())


@pytest.mark.parametrize(
    "behaviour",
    [pours(http_head(status="400 No"), b'{"message": "no"}'), pours(http_head(status="404 No"), b" ")],
)
def test_only_the_beginning_of_an_endless_error_is_read(
    ask: Callable[[ScriptedServer], Source], behaviour: Behaviour
) -> None:
    """The status is then handled as usual."""
    with ScriptedServer(behaviour) as server:
        with pytest.raises(SourceRefusedError):
            ask(server).list(Query())
        assert len(server.heads) == 1


def test_an_error_in_an_unknown_encoding_is_reported_by_its_status(
    ask: Callable[[ScriptedServer], Source],
) -> None:
    """Its message is not shown."""
    answer = http_head("Content-Encoding: br", "Content-Length: 3", status="401 No") + b"abc"
    with ScriptedServer(sends(answer)) as server, pytest.raises(SourceRefusedError, match=r"\(401\)"):
        ask(server).list(Query())


def test_only_gzip_is_offered(ask: Callable[[ScriptedServer], Source]) -> None:
    """Httpx decodes other encodings without a limit, if their libraries are installed."""
    with ScriptedServer(sends(http_head(status="401 No"))) as server, pytest.raises(SourceRefusedError):
        ask(server).list(Query())
    assert [line for line in server.heads[0].splitlines() if line.lower().startswith("accept-encoding")] == [
        "Accept-Encoding: gzip"
    ]


# -- large sessions ----------------------------------------------------------------------------------------------------


def paged(sessions: list[dict[str, Any]]) -> Callable[[str], bytes]:
    """A source of these sessions: a function that gives the response to the head of a request."""

    def answer(asked: str) -> bytes:
        target = asked.split(" ")[1]
        limit = int(target.split("limit=")[1].split("&")[0])
        since = (
            target.split("createdAtGe=")[1].split("&")[0].replace("%3A", ":")
            if "createdAtGe" in target
            else ""
        )
        found = [one for one in sessions if one["createdAt"] >= since]
        metadata = {"itemsPerPage": limit, "totalItems": len(found), "currentPage": 1}
        body = json.dumps({"results": found[:limit], "metadata": metadata}).encode()
        return http_response(body)

    return answer


def test_a_walk_over_large_sessions_requests_fewer_per_page(ask: Callable[[ScriptedServer], Source]) -> None:
    """A page of all of them is too large. All are read, and the page size that failed is not tried again."""
    sessions = [session(n, createdAt=f"2026-03-01T00:00:00.{n:03}Z", name="x" * 4_000) for n in range(300)]
    answer = paged(sessions)
    server = ScriptedServer()
    server._behaviours = (lambda connection, closing: connection.sendall(answer(server.heads[-1])),)
    with server:
        source = ask(server)
        pages = walk(source.list, [Cursor(ALWAYS)], limit=lambda: source.page_size(1000))
        read = [row.session_id for page in pages for row in page.rows]
        limits = [int(asked.split("limit=")[1].split(" ")[0].split("&")[0]) for asked in server.heads]
    assert read == [one["id"] for one in sessions]
    assert limits[:3] == [1000, 125, 15]
    assert set(limits[2:]) == {15}
