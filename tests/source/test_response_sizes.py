"""How much of an answer is read, whatever it claims to be: on the wire, decoded, and in headers."""

from __future__ import annotations

import gzip
import itertools
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
from pydantic import SecretStr
from test_client import KEY, session

from selection import examples, first
from servers import Behaviour, Misbehaving, says
from vapi_sessions.errors import SourceRefusedError, SourceUnavailableError
from vapi_sessions.source import client, connection
from vapi_sessions.source.client import Query, Source
from vapi_sessions.source.compression import Decoder, EncodingError, TooLargeError
from vapi_sessions.source.pagination import ALWAYS, Cursor, walk

#: Bytes that these tests let an answer have.
MOST: Final = 200_000


def _deflated(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


#: What a body may come as: the name of the encoding, and the body of it.
ENCODED: Final[dict[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "as it is": ("", bytes),
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZIP", gzip.compress),
    "several members": ("gzip", lambda data: gzip.compress(data[:7]) + gzip.compress(b"") + gzip.compress(data[7:])),
    "zlib": ("deflate", zlib.compress),
    "deflate": ("deflate", _deflated),
}  # fmt: skip


def decoded(encoding: str, body: bytes, most: int, piece: int) -> bytes:
    """The body, fed in pieces of that size."""
    decoder = Decoder(encoding, most)
    for at in range(0, len(body), piece):
        decoder.feed(body[at : at + piece])
    return decoder.finish()


@pytest.mark.parametrize(("encoding", "encode"), ENCODED.values(), ids=ENCODED)
@given(content=st.binary(max_size=3_000), times=st.sampled_from([1, 500]), piece=st.integers(2, 5_000))
@examples(60)
def test_what_comes_out_is_what_went_in(
    encoding: str, encode: Callable[[bytes], bytes], content: bytes, times: int, piece: int
) -> None:
    """However it is cut into pieces; and one byte more than is allowed is too much."""
    content *= times
    body = encode(content)
    most = max(len(content), len(body))
    assert decoded(encoding, body, most, piece) == content
    if content:
        with pytest.raises(TooLargeError):
            decoded(encoding, body, len(content) - 1, piece)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "gzip;q=1", "chunked"])
def test_an_encoding_that_was_not_offered_is_not_decoded(encoding: str) -> None:
    """Several at once multiply what a few bytes can become."""
    with pytest.raises(EncodingError):
        Decoder(encoding, MOST)


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"x" * 999)[:-9], b"no gzip", gzip.compress(b"x") + b"rest"],
    ids=["cut off", "another kind", "something behind it"],  # what gzip makes has the time in it
)
def test_what_is_not_whole_is_no_content(body: bytes) -> None:
    """Cut off, of another kind, or with something behind it."""
    with pytest.raises(EncodingError):
        decoded("gzip", body, MOST, 1_000)


# -- over the wire -----------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Misbehaving], Source]]:
    """A client of a server, which reads as little as these tests want."""
    for module in (client, connection):
        monkeypatch.setattr(module, "LARGEST_ANSWER", MOST)
    monkeypatch.setattr(connection, "_LARGEST_ERROR", MOST // 10)
    made: list[Source] = []

    def make(server: Misbehaving) -> Source:
        numbers = itertools.count().__next__
        made.append(Source(server.url, SecretStr(KEY), next_seq=numbers, sleep=lambda _: None))
        return made[-1]

    yield make
    for source in made:
        source.__exit__()


def head(*lines: str, status: str = "200 OK") -> bytes:
    """The head of an answer in JSON."""
    return "\r\n".join((f"HTTP/1.1 {status}", "Content-Type: application/json", *lines, "", "")).encode()


def pours(beginning: bytes, piece: bytes, sent: list[int] | None = None) -> Behaviour:
    """The same again and again, as fast as it is taken; notes how much that was."""

    def behave(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(beginning)
        try:
            while not over.is_set():
                connection.sendall(piece)
                if sent is not None:
                    sent.append(len(piece))
        except OSError:  # who reads has turned away
            return

    return behave


def bomb(layers: int = 1) -> bytes:
    """Fifty megabytes in some kilobytes."""
    body = b" " * 50_000_000
    for _ in range(layers):
        body = gzip.compress(body)
    return body


def _gzipped(body: bytes, encoding: str = "gzip") -> Behaviour:
    return says(head(f"Content-Encoding: {encoding}", f"Content-Length: {len(body)}") + body)


ENDLESS: Final[dict[str, Behaviour]] = {
    "a body without a length": pours(head(), b"x" * 50_000),
    "a body of ten gigabytes": pours(head("Content-Length: 10000000000"), b"x" * 50_000),
    "chunks": pours(head("Transfer-Encoding: chunked"), b"2710\r\n" + b"x" * 10_000 + b"\r\n"),
    "a gzip of zeros": _gzipped(bomb()),
    "gzip without an end": pours(head("Content-Encoding: gzip"), gzip.compress(os.urandom(9_000))),
    "small chunks": pours(head("Transfer-Encoding: chunked"), b"a\r\nxxxxxxxxxx\r\n" * 2_000),
}


@pytest.mark.parametrize("behaviour", first(ENDLESS.values(), 5), ids=ENDLESS)
def test_an_endless_answer_is_read_to_the_bound(
    ask: Callable[[Misbehaving], Source], behaviour: Behaviour
) -> None:
    """Exit code 4, naming the bound; a page is asked for with fewer rows first, and memory stays small."""
    with Misbehaving(behaviour) as server:
        source = ask(server)
        tracemalloc.start()
        with pytest.raises(SourceUnavailableError, match=r"larger than 0 MB, the most that is read") as told:
            source.list(Query())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        limits = [line.split("limit=")[1].split(" ")[0] for line in server.heads]
    assert limits == ["1000", "125", "15", "1"]
    assert told.value.exit_code == 4
    assert peak < 9_000_000  # of fifty
    with Misbehaving(behaviour) as server, pytest.raises(SourceUnavailableError, match="A session of"):
        ask(server).get("x")


@pytest.mark.parametrize(
    "behaviour",
    [
        pours(head()[:-2], b"X-More: " + b"x" * 1_000 + b"\r\n"),
        pours(head()[:-2] + b"X-More: ", b"x" * 10_000),
        pours(b"HTTP/1.1 200 ", b"O" * 10_000),
        pours(head("Transfer-Encoding: chunked") + b"1;", b"x" * 10_000),
        pours(head("Transfer-Encoding: chunked") + b"0\r\n", b"X-More: x\r\n"),
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
def test_what_cannot_be_an_answer_is_given_up(
    ask: Callable[[Misbehaving], Source], behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endless headers, or an encoding that was not offered: as any broken connection."""
    monkeypatch.setattr(client, "ATTEMPTS", 2)
    with (
        Misbehaving(behaviour) as server,
        pytest.raises(SourceUnavailableError, match="the connection broke"),
    ):
        ask(server).list(Query())


@pytest.mark.parametrize(
    "how", [pours(head(status="400 No"), b'{"message": "no"}'), pours(head(status="404 No"), b" ")]
)
def test_of_an_error_the_beginning_is_read(ask: Callable[[Misbehaving], Source], how: Behaviour) -> None:
    """It tells enough; an endless 404 is no proof that a session is gone."""
    with Misbehaving(how) as server:
        with pytest.raises(SourceRefusedError):
            ask(server).list(Query())
        assert len(server.heads) == 1


def test_an_error_in_an_encoding_that_was_not_offered_is_told_all_the_same(
    ask: Callable[[Misbehaving], Source],
) -> None:
    """By its status."""
    answer = head("Content-Encoding: br", "Content-Length: 3", status="401 No") + b"abc"
    with Misbehaving(says(answer)) as server, pytest.raises(SourceRefusedError, match=r"\(401\)"):
        ask(server).list(Query())


def test_only_gzip_is_offered(ask: Callable[[Misbehaving], Source]) -> None:
    """Other encodings are decoded by libraries that may be installed or not, without a bound."""
    with Misbehaving(says(head(status="401 No"))) as server, pytest.raises(SourceRefusedError):
        ask(server).list(Query())
    assert [line for line in server.heads[0].splitlines() if line.lower().startswith("accept-encoding")] == [
        "Accept-Encoding: gzip"
    ]


# -- large sessions ----------------------------------------------------------------------------------------------------


def paged(sessions: list[dict[str, Any]]) -> Callable[[str], bytes]:
    """A source of these: the answer to the head of a request for those created since then."""

    def answer(asked: str) -> bytes:
        target = asked.split(" ")[1]
        limit = int(target.split("limit=")[1].split("&")[0])
        since = (
            target.split("createdAtGe=")[1].split("&")[0].replace("%3A", ":")
            if "createdAtGe" in target
            else ""
        )
        found = [one for one in sessions if one["createdAt"] >= since]
        told = {"itemsPerPage": limit, "totalItems": len(found), "currentPage": 1}
        body = json.dumps({"results": found[:limit], "metadata": told}).encode()
        return head(f"Content-Length: {len(body)}") + body

    return answer


def test_a_walk_over_large_sessions_asks_for_fewer(ask: Callable[[Misbehaving], Source]) -> None:
    """A page of all of them is larger than is read: all are read, and the size that failed is not tried again."""
    sessions = [session(n, createdAt=f"2026-03-01T00:00:00.{n:03}Z", name="x" * 4_000) for n in range(300)]
    answer = paged(sessions)
    server = Misbehaving()
    server._behaviours = (lambda connection, over: connection.sendall(answer(server.heads[-1])),)
    with server:
        source = ask(server)
        steps = walk(source.list, [Cursor(ALWAYS)], limit=lambda: source.page_size(1000))
        read = [row.session_id for step in steps for row in step.rows]
        limits = [int(asked.split("limit=")[1].split(" ")[0].split("&")[0]) for asked in server.heads]
    assert read == [one["id"] for one in sessions]
    assert limits[:3] == [1000, 125, 15]
    assert set(limits[2:]) == {15}
