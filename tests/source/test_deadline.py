"""The deadline of a request as a whole, and the end of all waits when the run is stopped."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr
from scripted import GOOD, KEY

from clocks import FakeTime
from selection import first
from servers import (
    Behaviour,
    ScriptedServer,
    begins_and_hangs,
    hangs,
    http_head,
    http_response,
    sends,
    source_of,
    trickles,
)
from vapi_sessions.errors import SourceUnavailableError, VapiSessionsError
from vapi_sessions.source.client import Source
from vapi_sessions.source.connection import DEADLINE
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.retries import FIRST_ATTEMPTS, PATIENCE

WHOLE = http_response(GOOD.content)

SLOW: dict[str, Behaviour] = {
    "accepts and never answers": hangs,
    "sends a head and hangs": begins_and_hangs,
    "sends a body byte by byte": trickles(http_head(), b" "),
    "sends a head byte by byte": trickles(http_head()[:-2] + b"X-Long: ", b"x"),
    "sends informational responses without end": trickles(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
}


@pytest.fixture
def time() -> FakeTime:
    """A clock that moves while the client sleeps and while a server is late."""
    return FakeTime()


def late(time: FakeTime, behaviour: Behaviour) -> Behaviour:
    """The behaviour, but so slow that the deadline passes."""

    def behave(connection: socket.socket, closing: threading.Event) -> None:
        time.elapsed += DEADLINE + 1
        behaviour(connection, closing)

    return behave


@pytest.fixture
def open_source(time: FakeTime) -> Iterator[Callable[..., Source]]:
    """Makes clients of a server, with this clock."""
    sources: list[Source] = []

    def connect(server: ScriptedServer, concurrency: int = 1) -> Source:
        sources.append(source_of(server.url, KEY, time=time, concurrency=concurrency))
        return sources[-1]

    yield connect
    for source in sources:
        source.__exit__()


@pytest.mark.parametrize("slow", first(SLOW.values(), 2), ids=SLOW)
def test_a_late_response_is_requested_again(
    slow: Behaviour, time: FakeTime, open_source: Callable[..., Source]
) -> None:
    """The request and its connection end at the deadline, however the server keeps the request open."""
    with ScriptedServer(late(time, slow), sends(WHOLE)) as server:
        assert open_source(server).list(Query()).total == 1
        assert len(server.heads) == 2


def test_a_source_that_is_always_late_is_an_error(time: FakeTime, open_source: Callable[..., Source]) -> None:
    """The remedy names an option that helps if the network is slow."""
    with ScriptedServer(late(time, hangs)) as server, pytest.raises(SourceUnavailableError) as caught:
        open_source(server).list(Query())
    assert (
        f"Gave up after {FIRST_ATTEMPTS} attempts: {server.url} did not answer in full" in caught.value.fact
    )
    assert "--page-size" in caught.value.remedy


def test_late_responses_do_not_add_up_to_hours(time: FakeTime, open_source: Callable[..., Source]) -> None:
    """After the first response there are more attempts, but none starts long after the first one."""
    with ScriptedServer(sends(WHOLE), late(time, hangs)) as server:
        source = open_source(server)
        source.list(Query())
        with pytest.raises(SourceUnavailableError, match="Gave up after 3 attempts"):
            source.list(Query())
    assert PATIENCE < time.elapsed < PATIENCE + DEADLINE


def test_the_threads_of_late_responses_end(time: FakeTime, open_source: Callable[..., Source]) -> None:
    """Their connections are shut down, so they do not wait until they time out."""
    with ScriptedServer(*(late(time, slow) for slow in SLOW.values())) as server:
        before = set(threading.enumerate())
        with pytest.raises(SourceUnavailableError):
            open_source(server).list(Query())
        for thread in set(threading.enumerate()) - before:
            if thread.name == "http":
                thread.join(30)
                assert not thread.is_alive()


def test_requests_end_when_the_run_is_stopped(open_source: Callable[..., Source]) -> None:
    """Those that are pending, and those that wait for a connection."""
    asked = threading.Event()

    def behave(connection: socket.socket, closing: threading.Event) -> None:
        asked.set()
        closing.wait()

    caught: list[VapiSessionsError] = []
    with ScriptedServer(behave) as server:
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


def test_a_wait_between_two_attempts_ends_when_the_run_is_stopped() -> None:
    """It might last a minute."""
    stopping = threading.Event()
    stopping.set()
    busy = http_response(b"{}", status="429 Too Many Requests")
    with (
        ScriptedServer(sends(busy)) as server,
        Source(server.url, SecretStr(KEY), next_seq=itertools.count(1).__next__, stopping=stopping) as source,
        pytest.raises(SourceUnavailableError, match="The run was stopped"),
    ):
        source.list(Query())
