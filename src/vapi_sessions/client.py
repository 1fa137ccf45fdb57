"""The only module that speaks HTTP: one list request or one session, checked, retried, paced.

What a status means stands in one table. There is one retry layer, here, and none above it. The source's filter
operators appear in `Query.params` and nowhere else.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import tenacity
from pydantic import SecretStr

from vapi_sessions import __version__, timestamps
from vapi_sessions.errors import SourceRefusedError, SourceUnavailableError
from vapi_sessions.page import Metadata, Row, UnreadableRow, read, split
from vapi_sessions.windows import BEGINNING, Window

USER_AGENT: Final = f"vapi-sessions/{__version__} (python-httpx)"
TIMEOUT: Final = httpx.Timeout(connect=10, read=120, write=30, pool=None)

#: Waits of 0.5, 1, 2, 4, 8, 16, 30 and 30 s: 91 s in all, well beyond the recorded lockout of 21 s.
ATTEMPTS: Final = 9
#: Before the first answer of any kind a wrong address is likelier than an outage, so a mistake is told within seconds.
FIRST_ATTEMPTS: Final = 3
LONGEST_WAIT: Final = 30.0
LONGEST_RETRY_AFTER: Final = 300.0
#: How many answers have to show a row that cannot be read before that is believed.
UNREADABLE_ANSWERS: Final = 3

Order: TypeAlias = Literal["ASC", "DESC"]


@dataclass(frozen=True, slots=True)
class Query:
    """One list request. Moments are microseconds; `created` and `updated` are half-open."""

    updated: Window | None = None
    created: Window | None = None
    ids: Sequence[str] = ()
    limit: int = 1000
    page: int = 1
    order: Order = "ASC"

    def params(self) -> list[tuple[str, str]]:
        """The query string's pairs: the one place where half-open intervals become the source's operators."""
        pairs: list[tuple[str, str]] = []
        for name, window in (("updatedAt", self.updated), ("createdAt", self.created)):
            if window is not None:
                if window.lower != BEGINNING:
                    pairs.append((f"{name}Ge", timestamps.show(window.lower)))
                if window.upper is not None:
                    pairs.append((f"{name}Lt", timestamps.show(window.upper)))
        if self.ids:
            pairs.append(("idAny", ",".join(self.ids)))
        pairs += [("sortBy", "createdAt"), ("sortOrder", self.order), ("limit", str(self.limit))]
        if self.page != 1:
            pairs.append(("page", str(self.page)))
        return pairs


@dataclass(frozen=True, slots=True)
class Page:
    """One list response: one snapshot of the source."""

    rows: list[Row]
    total: int
    limit: int  # the page size in force, which a server may cap below the one asked for
    requested_at: int
    seq: int
    server_time: int | None  # the Date header in µs, unless a cache answered
    size: int  # bytes of the body
    beyond_retention: bool = False  # the source says that it leaves out what is older than the plan keeps
    unreadable: list[UnreadableRow] = field(default_factory=list)

    @property
    def listed(self) -> list[Row | UnreadableRow]:
        """All rows, readable or not, in the order of the response."""
        found: list[Row | UnreadableRow] = list(self.rows)
        for row in self.unreadable:
            found.insert(row.place, row)
        return found

    @property
    def count(self) -> int:
        """How many sessions the source counts, and at least what it shows."""
        return max(self.total, len(self.rows) + len(self.unreadable))


T = TypeVar("T")


class _Answer(NamedTuple):
    """A response that was read to its end. httpx's own is part of a reference cycle, and would keep megabytes for a while."""

    status_code: int
    headers: httpx.Headers
    content: bytes


class _AgainError(Exception):
    """An attempt failed in a way that may pass. Never leaves this module."""

    def __init__(self, fact: str, *, pace_wait: float = 0.0, address_suspect: bool = False) -> None:
        super().__init__(fact)
        self.pace_wait = pace_wait  # seconds the shared pace waits; 0: wait on our own
        self.address_suspect = address_suspect  # so far a wrong address explains it as well as an outage


class Pace:
    """The speed that all workers share: a 429 to one of them slows all down together, and successes speed up again.

    `clock` gives monotonic seconds. Without `Retry-After` the wait doubles from one throttled episode to the next;
    afterwards requests start at least `interval` seconds apart, a distance that shrinks with every success.
    """

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_start = 0.0
        self._interval = 0.0
        self._blocked_until = 0.0
        self._episodes = 0

    @property
    def interval(self) -> float:
        """Seconds between the starts of two requests; 0 when nothing is throttled."""
        return self._interval

    def wait_turn(self) -> float:
        """Sleep until the next request may start; returns the moment (monotonic seconds) at which it does."""
        with self._lock:
            start = max(self._clock(), self._next_start, self._blocked_until)
            self._next_start = start + self._interval
        while (wait := start - self._clock()) > 0:
            self._sleep(wait)
            with self._lock:  # the block may have been extended while we slept
                start = max(start, self._blocked_until)
        return start

    def throttled(self, sent: float, retry_after: float | None) -> float:
        """Note a 429 to a request sent at `sent`; returns the seconds that everybody now waits."""
        with self._lock:
            now = self._clock()
            if sent >= self._blocked_until:  # else: one of several answers to the same episode
                self._episodes += 1
                self._interval = min(max(self._interval * 2, 0.05), 5.0)
                own = min(2.0 ** (self._episodes - 1), LONGEST_WAIT)
                if retry_after is not None:  # believed the first time; repeated, it was too short
                    own = max(retry_after, own / 2 if self._episodes > 1 else 0.0)
                self._blocked_until = now + own
            elif retry_after is not None:
                self._blocked_until = max(self._blocked_until, now + retry_after)
            return max(0.0, self._blocked_until - now)

    def succeeded(self) -> None:
        """Note a success: the distance between requests shrinks by a tenth, and is forgotten below 10 ms."""
        with self._lock:
            self._episodes = 0
            self._interval = self._interval * 0.9 if self._interval > 0.01 else 0.0


@dataclass(slots=True)
class Traffic:
    """What the client did so far; shown in the run's record."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes: int = 0
    waited: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


#: Bytes, about. A page of all the sessions that are wanted may take so much, because few requests are worth memory; if it
#: would take more, smaller ones are as fast, and a page is in memory several times. Never fewer rows than that.
_WHOLE_PAGE: Final = 8_000_000
_PART_OF_A_PAGE: Final = 2_000_000
_LEAST_ROWS: Final = 20
#: How much of what is known of the sessions' size stays when another page arrives.
_REMEMBERED: Final = 0.75


def _trust() -> ssl.SSLContext:
    return _trusting(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache
def _trusting(file: str | None, directory: str | None) -> ssl.SSLContext:
    """As httpx finds the authorities by these variables; reading them costs as much as opening a database."""
    return httpx.create_ssl_context()


class Source:
    """A client of one Sessions API with one key. Thread-safe; use as a context manager.

    `transport`, `now` (wall clock, µs), `monotonic` and `sleep` (seconds) are injected by tests. `next_seq` numbers
    requests in the order they are sent. `on_wait(seconds, fact)` hears of every wait.
    """

    def __init__(
        self,
        base_url: str,
        key: SecretStr,
        *,
        next_seq: Callable[[], int],
        concurrency: int = 6,
        transport: httpx.BaseTransport | None = None,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        on_wait: Callable[[float, str], None] = lambda seconds, fact: None,
    ) -> None:
        self._base_url = base_url
        self._key = key
        self._next_seq = next_seq
        self._now = now
        self._sleep = sleep
        self._on_wait = on_wait
        self._answered = False
        self.pace = Pace(monotonic, self._wait)
        self.traffic = Traffic()
        self._unreadable: set[str] = set()  # keys of rows that several answers showed so
        self._seen = (0.0, 0.0)  # sessions of the last pages, and their bytes
        self._transport = transport
        self._free: queue.LifoQueue[httpx.Client | None] = queue.LifoQueue()  # None: one that is not made yet
        for _ in range(concurrency):
            self._free.put(None)
        self._clients: list[httpx.Client] = []

    def page_size(self, most: int) -> int:
        """How many sessions to ask for, at most `most`: a page of large ones would take memory that nobody has spared."""
        if most * self._session_bytes <= _WHOLE_PAGE:
            return most
        return min(most, max(_LEAST_ROWS, int(_PART_OF_A_PAGE / self._session_bytes)))

    def page_bytes(self, most: int) -> int:
        """What a page of at most so many sessions takes, by the last pages; 0 before the first one."""
        return int(self.page_size(most) * self._session_bytes)

    @property
    def _session_bytes(self) -> float:
        """What a session takes, by the last pages; 0 before the first one."""
        sessions, size = self._seen
        return size / sessions if sessions else 0.0

    def __repr__(self) -> str:
        return f"Source({self._base_url!r}, key=***)"

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        for client in self._clients:
            client.close()

    def list(self, query: Query) -> Page:
        """One page. Raises SourceRefusedError or SourceUnavailableError; retries before that.

        A row that cannot be read may be a passing fault, so it is believed only if several answers in a row show it so.
        """
        page = self._retrying(lambda: self._list_once(query))
        for repetition in range(UNREADABLE_ANSWERS - 1):
            if all(row.key in self._unreadable for row in page.unreadable):
                break
            self._wait(0.5 * 2.0**repetition)
            page = self._retrying(lambda: self._list_once(query))
        self._unreadable.update(row.key for row in page.unreadable)
        return page

    def count(
        self, updated: Window | None = None, created: Window | None = None, ids: Sequence[str] = ()
    ) -> int:
        """How many sessions the source lists there, by one request for a single row (`limit=0` is undocumented)."""
        return self.list(Query(updated=updated, created=created, ids=ids, limit=1)).count

    def get(self, session_id: str) -> tuple[Row | UnreadableRow | None, int, int]:
        """One session, or None if the source answers 404; with the request's moment (µs) and seq."""
        return self._retrying(lambda: self._get_once(session_id))

    # -- one attempt -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        """One with a connection of its own, which nobody else uses meanwhile.

        The threads of a shared pool may close each other's connections, and whoever has already asked on one waits for the
        whole time-out (httpcore 1.0.9, encode/httpcore#1110).
        """
        client = self._free.get()  # waits while as many requests as allowed are under way
        try:
            if client is None:
                client = self._new_client()
                self._clients.append(client)
            yield client
        finally:
            self._free.put(client)

    def _new_client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._base_url,
            headers={
                "Authorization": f"Bearer {self._key.get_secret_value()}",
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
            },
            timeout=TIMEOUT,
            verify=_trust(),
            transport=self._transport,
            follow_redirects=False,  # a redirect to another host must not receive the key
        )

    def _list_once(self, query: Query) -> Page:
        requested_at, seq = self._now(), self._next_seq()
        response = self._send("/session", query.params())
        body = self._json_body(response)
        try:
            metadata, bodies = split(body)
            listed = [read(raw, place) for place, raw in enumerate(bodies)]
        except (ValueError, RecursionError) as error:  # of Unicode and msgspec too
            raise _AgainError(f"an answer is not a list of sessions: {_plain(str(error))}") from None
        if metadata.totalItems < 0:
            raise _AgainError(f"an answer claims {metadata.totalItems} items")
        if listed:
            sessions, size = self._seen  # another thread's page may be lost: it is an estimate
            self._seen = (_REMEMBERED * sessions + len(listed), _REMEMBERED * size + len(body))
        limit = metadata.itemsPerPage
        return Page(
            rows=[row for row in listed if isinstance(row, Row)],
            total=metadata.totalItems,
            limit=min(query.limit, limit) if limit > 0 else query.limit,
            requested_at=requested_at,
            seq=seq,
            server_time=_server_time(response),
            size=len(body),
            beyond_retention=_cut_by_retention(metadata, query),
            unreadable=[row for row in listed if isinstance(row, UnreadableRow)],
        )

    def _get_once(self, session_id: str) -> tuple[Row | UnreadableRow | None, int, int]:
        requested_at, seq = self._now(), self._next_seq()
        response = self._send(f"/session/{quote(session_id, safe='')}", [], absent_ok=True)
        if response.status_code == 404:
            self._expect_object(response)  # a 404 that is not the API's own, and whole, proves nothing
            return None, requested_at, seq
        try:
            return read(self._json_body(response)), requested_at, seq
        except (ValueError, RecursionError) as error:
            raise _AgainError(f"an answer is not a session: {_plain(str(error))}") from None

    def _expect_object(self, response: _Answer) -> None:
        try:
            msgspec.json.decode(self._json_body(response), type=dict[str, Any])
        except ValueError as error:
            raise _AgainError(f"an answer is not an object: {_plain(str(error))}") from None

    def _send(self, path: str, params: Sequence[tuple[str, str]], *, absent_ok: bool = False) -> _Answer:
        sent = self.pace.wait_turn()
        with self.traffic.lock:
            self.traffic.requests += 1
        try:
            with self._client() as client, client.stream("GET", path, params=list(params)) as response:
                content = b"".join(response.iter_bytes())
        except httpx.ConnectError as error:
            raise _AgainError(
                f"{self._base_url} cannot be reached ({self._shown(str(error)) or 'no connection'})",
                address_suspect=True,
            ) from None
        except httpx.TimeoutException as error:
            raise _AgainError(
                f"{self._base_url} did not answer in time ({type(error).__name__})", address_suspect=True
            ) from None
        except httpx.HTTPError as error:  # resets, cut bodies, protocol errors
            raise _AgainError(f"the connection broke ({type(error).__name__})") from None
        with self.traffic.lock:
            self.traffic.bytes += len(content)
        answer = _Answer(response.status_code, response.headers, content)
        if response.is_success or (absent_ok and response.status_code == 404):
            return answer
        raise self._error_for(answer, sent)

    def _error_for(self, response: _Answer, sent: float) -> Exception:
        """The table of statuses. The last row is for everything that has no row of its own."""
        status = response.status_code
        message = self._shown(_vendor_message(response))
        said = f': "{message}"' if message else ""
        self._answered = self._answered or status == 429 or _is_json(response)
        match status:
            case 429:
                retry_after = _retry_after(response, self._now())
                if retry_after is not None and retry_after > LONGEST_RETRY_AFTER:
                    return SourceUnavailableError(
                        f"The source asks to wait {retry_after:.0f} s (429).", "Run again after that."
                    )
                wait = self.pace.throttled(sent, retry_after)
                with self.traffic.lock:
                    self.traffic.throttled += 1
                return _AgainError("the source limits the rate (429)", pace_wait=max(wait, 0.001))
            case 408:
                return _AgainError("the source timed out (408)")
            case _ if status >= 500:
                return _AgainError(f"the source fails ({status}{said})")
            case 400 | 422:
                return SourceRefusedError(
                    f"The source refuses the request ({status}{said}).",
                    "If no option of yours explains this, the API has changed: please report it.",
                )
            case 401:
                return SourceRefusedError(
                    f"The source does not accept the key (401{said}).",
                    "Set VAPI_API_KEY to a private key of the organisation.",
                )
            case 402:
                return SourceRefusedError(
                    f"The organisation must pay first (402{said}).",
                    "Settle it in the Vapi dashboard, then run again.",
                )
            case 403 if "error code:" in said:
                return SourceRefusedError(
                    f"The CDN in front of the source blocks this client (403{said}).",
                    "The key is not the reason: look at the proxy and network you come from.",
                )
            case 403:
                return SourceRefusedError(
                    f"The key may not list sessions (403{said}).",
                    "Use a private key with access to sessions.",
                )
            case 404:
                return SourceRefusedError(
                    f"There is no Sessions API at {self._base_url} (404{said}).",
                    "Check --base-url or VAPI_BASE_URL.",
                )
            case _ if 300 <= status < 400:
                return SourceRefusedError(
                    f"{self._base_url} redirects elsewhere ({status}); the key is not sent on.",
                    "Set --base-url to the final address.",
                )
            case _:
                return SourceUnavailableError(
                    f"The source answers {status}{said}, which no rule here covers.",
                    "Run again; if it stays, please report it.",
                )

    def _shown(self, text: str) -> str:
        """What the source says, as we may repeat it: without the key, which must go before a cut makes a part of it."""
        return _plain(_one_line(text).replace(self._key.get_secret_value(), "***"))

    def _json_body(self, response: _Answer) -> bytes:
        """The body, if the content type says JSON; a page of HTML or an empty 200 is never "no rows"."""
        if not _is_json(response):
            kind = self._shown(response.headers.get("content-type", "")).split(";")[0].strip().lower()
            raise _AgainError(f"an answer is {kind or 'of no declared type'}, not JSON", address_suspect=True)
        if not response.content:
            raise _AgainError("an answer is empty")
        return response.content

    # -- retries -----------------------------------------------------------------------------------------------

    def _retrying(self, attempt: Callable[[], T]) -> T:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_AgainError),
            stop=self._is_last,
            wait=_seconds_until_next,
            sleep=self._wait,
            before_sleep=self._announce,
        )
        try:
            result = retrying(attempt)
        except tenacity.RetryError as error:
            last = error.last_attempt.exception()
            tries = error.last_attempt.attempt_number
            remedy = (
                "Check --base-url and the network, then run again."
                if not self._answered
                else "Run again later: nothing that was read is lost."
            )
            raise SourceUnavailableError(f"Gave up after {tries} attempts: {last}.", remedy) from None
        self._answered = True
        self.pace.succeeded()
        return result

    def _is_last(self, state: tenacity.RetryCallState) -> bool:
        error = _failure(state)
        hopeless = error.address_suspect and not self._answered
        return state.attempt_number >= (FIRST_ATTEMPTS if hopeless else ATTEMPTS)

    def _announce(self, state: tenacity.RetryCallState) -> None:
        error = _failure(state)
        with self.traffic.lock:
            self.traffic.retries += 1
        self._on_wait(error.pace_wait or _seconds_until_next(state), str(error))

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            with self.traffic.lock:
                self.traffic.waited += seconds
            self._sleep(seconds)


def _failure(state: tenacity.RetryCallState) -> _AgainError:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, _AgainError):  # the retry predicate lets nothing else through
        raise TypeError("a retry without its reason")
    return error


def _seconds_until_next(state: tenacity.RetryCallState) -> float:
    """0.5, 1, 2, 4 … s; none of our own after a 429, where the shared pace does the waiting."""
    return 0.0 if _failure(state).pace_wait else min(0.5 * 2.0 ** (state.attempt_number - 1), LONGEST_WAIT)


def _plain(text: str) -> str:
    """The first 160 characters of the line. What the source itself says goes through `_shown`."""
    return _one_line(text)[:160]


def _one_line(text: str) -> str:
    """Printable characters on one line: what the source says is data, not terminal control."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _vendor_message(response: _Answer) -> str:
    """The message of the vendor's error body, or a plain-text body; "" for HTML."""
    try:
        said = json.loads(response.content)
        said = (said.get("message") or "") if isinstance(said, dict) else ""
        return "; ".join(map(str, said)) if isinstance(said, list) else str(said)
    except (ValueError, RecursionError):
        html = "html" in response.headers.get("content-type", "")
        return "" if html else response.content.decode(errors="replace")


def _is_json(response: _Answer) -> bool:
    kind: str = response.headers.get("content-type", "").split(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _retry_after(response: _Answer, now: int) -> float | None:
    """Seconds from a `Retry-After` header in either of its forms; None without a usable one."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        now = _server_time(response) or now  # a date is meant on the clock that wrote it
        return max(0.0, (timestamps.parse_http_date(value) - now) / timestamps.SECOND)
    except (ValueError, TypeError):
        return None


def _cut_by_retention(metadata: Metadata, query: Query) -> bool:
    """Whether the answer says, in either of the ways it may, that older sessions were left out."""
    echoed = timestamps.from_datetime(metadata.createdAtGe) if metadata.createdAtGe is not None else None
    asked = query.created.lower if query.created is not None else BEGINNING
    return bool(metadata.itemsBeyondRetention) or (
        echoed is not None and asked != BEGINNING and echoed > asked
    )


def _server_time(response: _Answer) -> int | None:
    if "age" in response.headers:  # a cache answered: its Date is not the source's present
        return None
    try:
        return timestamps.parse_http_date(response.headers.get("date", ""))
    except (ValueError, TypeError):
        return None
