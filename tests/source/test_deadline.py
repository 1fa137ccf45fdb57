"""A request has a deadline as a whole, and nobody waits for an answer when the run is being stopped."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr
from test_client import GOOD

from models import FakeTime
from servers import Behaviour, Misbehaving, begins_and_hangs, hangs, says, trickles
from vapi_sessions.errors import SourceUnavailableError, VapiSessionsError
from vapi_sessions.source.client import FIRST_ATTEMPTS, PATIENCE, Query, Source
from vapi_sessions.source.connection import DEADLINE

KEY = SecretStr("the-very-private-key-0123456789")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
WHOLE = OK + b"Content-Length: %d\r\n\r\n" % len(GOOD.content) + GOOD.content

SLOW: dict[str, Behaviour] = {
    "accepts and never answers": hangs,
    "sends a head and hangs": begins_and_hangs,
    "sends a body byte by byte": trickles(OK + b"\r\n", b" "),
    "sends a head byte by byte": trickles(OK + b"X-Long: ", b"x"),
    "sends informational heads for ever": trickles(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
}


@pytest.fixture
def time() -> FakeTime:
    """Passes while somebody sleeps, and while a server is late."""
    return FakeTime()


def late(time: FakeTime, behaviour: Behaviour) -> Behaviour:
    """So slow that the deadline passes."""

    def behave(connection: socket.socket, over: threading.Event) -> None:
        time.elapsed += DEADLINE + 1
        behaviour(connection, over)

    return behave


@pytest.fixture
def open_source(time: FakeTime) -> Iterator[Callable[..., Source]]:
    """Clients of a real server, with this clock."""
    sources: list[Source] = []

    def connect(server: Misbehaving, concurrency: int = 1) -> Source:
        numbers = itertools.count(1).__next__
        source = Source(
            server.url,
            KEY,
            next_seq=numbers,
            monotonic=time.monotonic,
            sleep=time.sleep,
            concurrency=concurrency,
        )
        sources.append(source)
        return source

    yield connect
    for source in sources:
        source.__exit__()


@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
def test_an_answer_that_is_not_there_in_time_is_asked_for_again(
    slow: Behaviour, time: FakeTime, open_source: Callable[..., Source]
) -> None:
    """However a source keeps a request open, it ends at the deadline, and the connection with it."""
    with Misbehaving(late(time, slow), says(WHOLE)) as server:
        assert open_source(server).list(Query()).total == 1
        assert len(server.heads) == 2


def test_a_source_that_is_always_late_is_an_error(time: FakeTime, open_source: Callable[..., Source]) -> None:
    """With what may help where the network is slow."""
    with Misbehaving(late(time, hangs)) as server, pytest.raises(SourceUnavailableError) as caught:
        open_source(server).list(Query())
    assert (
        f"Gave up after {FIRST_ATTEMPTS} attempts: {server.url} did not answer in full" in caught.value.fact
    )
    assert "--page-size" in caught.value.remedy


def test_late_answers_do_not_add_up_to_hours(time: FakeTime, open_source: Callable[..., Source]) -> None:
    """After the first answer there are more attempts, but none begins long after the request was made."""
    with Misbehaving(says(WHOLE), late(time, hangs)) as server:
        source = open_source(server)
        source.list(Query())
        with pytest.raises(SourceUnavailableError, match="Gave up after 3 attempts"):
            source.list(Query())
    assert PATIENCE < time.elapsed < PATIENCE + DEADLINE


def test_the_threads_of_late_answers_end(time: FakeTime, open_source: Callable[..., Source]) -> None:
    """The connection is broken under them, so they do not wait for their own time-out."""
    with Misbehaving(*(late(time, slow) for slow in SLOW.values())) as server:
        before = set(threading.enumerate())
        with pytest.raises(SourceUnavailableError):
            open_source(server).list(Query())
        for thread in set(threading.enumerate()) - before:
            if thread.name == "http":
                thread.join(30)
                assert not thread.is_alive()


def test_nobody_waits_for_an_answer_once_the_run_is_stopped(open_source: Callable[..., Source]) -> None:
    """Neither those that ask at that moment nor those that would ask next."""
    asked = threading.Event()

    def behave(connection: socket.socket, over: threading.Event) -> None:
        asked.set()
        over.wait()

    caught: list[VapiSessionsError] = []
    with Misbehaving(behave) as server:
        source = open_source(server, concurrency=2)

        def ask() -> None:
            try:
                source.list(Query())
            except VapiSessionsError as error:
                caught.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert asked.wait(30)
        source.stop()
        for thread in threads:
            thread.join(30)
    assert [error.fact for error in caught] == ["The run was stopped."] * 3


def test_a_wait_ends_when_the_run_is_stopped() -> None:
    """One between two attempts too, which may be as long as a minute."""
    stopping = threading.Event()
    stopping.set()
    busy = OK.replace(b"200 OK", b"429 Too Many Requests") + b"Content-Length: 2\r\n\r\n{}"
    with (
        Misbehaving(says(busy)) as server,
        Source(server.url, KEY, next_seq=itertools.count(1).__next__, stopping=stopping) as source,
        pytest.raises(SourceUnavailableError, match="The run was stopped"),
    ):
        source.list(Query())
