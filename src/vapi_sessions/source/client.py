"""A client of the Sessions API: one page, one count or one session, checked, retried and paced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec
from pydantic import SecretStr

from vapi_sessions import __version__
from vapi_sessions.core.details import detail
from vapi_sessions.core.intervals import Window
from vapi_sessions.errors import SourceUnavailableError
from vapi_sessions.source.compression import TooLargeError
from vapi_sessions.source.connection import (
    DEADLINE,
    LARGEST_RESPONSE,
    Connection,
    DeadlineError,
    Response,
    new_client,
)
from vapi_sessions.source.connection_errors import ConnectionErrors
from vapi_sessions.source.connection_pool import ConnectionPool
from vapi_sessions.source.environment import Environment
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page, read_page
from vapi_sessions.source.page_sizes import PageSizes
from vapi_sessions.source.proxies import proxy_for
from vapi_sessions.source.quoting import Quoter
from vapi_sessions.source.rate_limits import Pace
from vapi_sessions.source.retries import Retries, RetryableError, Traffic
from vapi_sessions.source.statuses import Statuses, is_from_source, server_time
from vapi_sessions.transform.headers import Row, UnreadableRow, read_session

USER_AGENT: Final = f"vapi-sessions/{__version__} (python-httpx)"

#: Responses that have to show the same unreadable row before it is accepted as unreadable.
UNREADABLE_RESPONSES: Final = 3


class Source:
    """A client of one Sessions API with one key. Thread-safe. Use as a context manager.

    `next_seq` numbers requests in the order in which they are sent. `on_wait(seconds, fact)` is called before every wait.
    Once `stopping` is set, waits and pending requests end. Raises ConfigurationError if the environment's proxy is unusable.
    """

    def __init__(
        self,
        base_url: str,
        key: SecretStr,
        *,
        next_seq: Callable[[], int],
        concurrency: int = 6,
        environment: Environment | None = None,
        on_wait: Callable[[float, str], None] = lambda seconds, fact: None,
        stopping: threading.Event | None = None,
    ) -> None:
        self._base_url = base_url
        self._key = key
        self._next_seq = next_seq
        self._environment = environment or Environment()
        self._stopping = stopping or threading.Event()
        self._proxy = proxy_for(base_url) if self._environment.transport is None else None
        self._quoter = Quoter(key.get_secret_value())
        self.pace = Pace(self._environment.monotonic, self._wait)
        self.traffic = Traffic()
        self._retries = Retries(
            self.pace,
            self.traffic,
            monotonic=self._environment.monotonic,
            wait=self._wait,
            on_wait=on_wait,
        )
        self._statuses = Statuses(
            base_url, self._proxy, quoter=self._quoter, pace=self.pace, now=self._environment.now
        )
        self._connection_errors = ConnectionErrors(base_url, self._proxy, self._quoter)
        self._sizes = PageSizes()
        self._unreadable: set[str] = set()  # keys of rows that several responses showed as unreadable
        self._pool = ConnectionPool(self._connect, concurrency)

    def __repr__(self) -> str:
        return f"Source({self._base_url!r}, key=***)"

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.close()

    def stop(self) -> None:
        """End all waits and pending requests, now and later: they raise SourceUnavailableError."""
        self._stopping.set()

    def page_size(self, most: int) -> int:
        """The number of sessions to ask for, at most `most`; fewer if sessions are large."""
        return self._sizes.limit(most)

    def list(self, query: Query) -> Page:
        """One page. Raises SourceRefusedError or SourceUnavailableError, after retries.

        An unreadable row may be a temporary fault, so it is accepted only if several responses in a row show it. If a response
        is too large, fewer rows are requested, then and later: `limit` of the page is the number.
        """
        page = self._list_fitting(query)
        for repetition in range(UNREADABLE_RESPONSES - 1):
            if all(row.key in self._unreadable for row in page.unreadable):
                break
            self._wait(0.5 * 2.0**repetition)
            page = self._list_fitting(query)
        self._unreadable.update(row.key for row in page.unreadable)
        return page

    def count(
        self, updated: Window | None = None, created: Window | None = None, ids: Sequence[str] = ()
    ) -> int:
        """The number of sessions the source counts, from a request for one row (`limit=0` is undocumented)."""
        return self.list(Query(updated=updated, created=created, ids=ids, limit=1)).count

    def get(self, session_id: str) -> tuple[Row | UnreadableRow | None, int, int]:
        """One session, or None if the source returns 404; with the time (µs) and number of the request."""
        try:
            return self._retries.run(partial(self._get_once, session_id))
        except TooLargeError:
            raise self._too_large("A session") from None

    def shown(self, text: str) -> str:
        """Text of the source as a message may show it: one short line, without credentials and without our key."""
        return self._quoter.quote(text)

    def _list_fitting(self, query: Query) -> Page:
        """The page, or its first rows if it would be too large."""
        asked = replace(query, limit=self._sizes.allowed(query.limit))
        while True:
            try:
                return self._retries.run(partial(self._list_once, asked))
            except TooLargeError:
                if asked.limit == 1:
                    raise self._too_large("A page of one session") from None
            asked = replace(asked, limit=self._sizes.reduce(asked.limit))

    def _too_large(self, what: str) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"{what} of {self._base_url} is larger than the limit of {LARGEST_RESPONSE / 1e6:,.0f} MB.",
            "No real session is so large: check --base-url, and any proxy between this machine and the source.",
        )

    # -- one attempt -------------------------------------------------------------------------------------------

    def _list_once(self, query: Query) -> Page:
        requested_at, seq = self._environment.now(), self._next_seq()
        response = self._send("/session", query.params())
        body = self._statuses.json_body(response)
        try:
            page = read_page(
                body, query, requested_at=requested_at, seq=seq, server_time=server_time(response)
            )
        except (ValueError, RecursionError) as error:  # errors of Unicode and msgspec are ValueErrors
            raise RetryableError(f"a response is not a list of sessions: {self.shown(str(error))}") from None
        self._sizes.add(len(page.listed), page.size)
        return page

    def _get_once(self, session_id: str) -> tuple[Row | UnreadableRow | None, int, int]:
        requested_at, seq = self._environment.now(), self._next_seq()
        response = self._send(f"/session/{quote(session_id, safe='')}", [], absent_ok=True)
        if response.status_code == 404:
            self._expect_object(response)  # a 404 that is truncated or not the API's own proves nothing
            return None, requested_at, seq
        try:
            return read_session(self._statuses.json_body(response)), requested_at, seq
        except (ValueError, RecursionError) as error:
            raise RetryableError(f"a response is not a session: {self.shown(str(error))}") from None

    def _expect_object(self, response: Response) -> None:
        try:
            msgspec.json.decode(self._statuses.json_body(response), type=dict[str, Any])
        except ValueError as error:
            raise RetryableError(f"a response is not an object: {self.shown(str(error))}") from None

    def _send(self, path: str, params: Sequence[tuple[str, str]], *, absent_ok: bool = False) -> Response:
        """One request, when its turn has come. Raises TooLargeError."""
        sent = self.pace.wait_turn()
        with self.traffic.lock:
            self.traffic.requests += 1
        monotonic = self._environment.monotonic
        status, size = None, 0
        try:
            with self._pool.connection() as connection:
                latest = monotonic() + DEADLINE
                response = connection.ask(path, params, lambda: monotonic() > latest, self._stopping)
            status, size = response.status_code, len(response.content)
        except (DeadlineError, httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise self._connection_errors.error(error) from None
        finally:
            detail(
                "request",
                method="GET",
                path=_shown(path, params),
                status=status,
                bytes=size,
                seconds=round(monotonic() - sent, 3),
            )
        with self.traffic.lock:
            self.traffic.bytes += size
            self.traffic.seconds += monotonic() - sent
        if 200 <= response.status_code < 300 or (absent_ok and response.status_code == 404):
            return response
        self._retries.answered = self._retries.answered or is_from_source(response)
        meaning = self._statuses.error(response, sent)
        if isinstance(meaning, RetryableError) and meaning.pace_wait:
            with self.traffic.lock:
                self.traffic.throttled += 1
        raise meaning

    def _connect(self) -> Connection:
        transport = self._environment.transport
        headers = {
            "Authorization": f"Bearer {self._key.get_secret_value()}",
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
        }
        client = new_client(self._base_url, headers, self._proxy, transport)
        return Connection(client, fake=transport is not None)

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            with self.traffic.lock:
                self.traffic.waited += seconds
            if self._environment.sleep is not None:
                self._environment.sleep(seconds)
            elif self._stopping.wait(seconds):
                raise SourceUnavailableError("The run was stopped.")


def _shown(path: str, params: Sequence[tuple[str, str]]) -> str:
    """The path with its parameters, without ids of sessions."""
    if path != "/session":
        return "/session/{id}"
    return f"{path}?{'&'.join(f'{name}={value}' for name, value in params if name != 'idAny')}"
