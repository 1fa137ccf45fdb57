"""The only module that speaks HTTP: one list request or one session, checked, retried, paced.

What a status means stands in one table. There is one retry layer, here, and none above it. The source's filter
operators appear in `Query.params` and nowhere else.
"""

from __future__ import annotations

import contextlib
import json
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import tenacity
from pydantic import SecretStr

from vapi_sessions import __version__
from vapi_sessions.core import timestamps
from vapi_sessions.core.intervals import BEGINNING, Window
from vapi_sessions.errors import (
    ConfigurationError,
    SourceRefusedError,
    SourceUnavailableError,
    VapiSessionsError,
    plain,
)
from vapi_sessions.privacy.own_key import OwnKey
from vapi_sessions.privacy.redaction_text import redact_text
from vapi_sessions.source.compression import TooLargeError
from vapi_sessions.source.connection import (
    DEADLINE,
    LARGEST_ANSWER,
    Answer,
    Connection,
    DeadlineError,
    new_client,
    unusable,
)
from vapi_sessions.source.pace import LONGEST_WAIT, Pace
from vapi_sessions.source.page import Metadata, split
from vapi_sessions.source.proxies import proxy_for
from vapi_sessions.source.strangers import Stranger, stranger
from vapi_sessions.transform.headers import Row, UnreadableRow, read_session

USER_AGENT: Final = f"vapi-sessions/{__version__} (python-httpx)"

#: Waits of 0.5, 1, 2, 4, 8, 16, 30 and 30 s: 91 s in all. Of a rate limit, as many episodes in a row: to the next minute,
#: then 15 s and seven times 30 s.
ATTEMPTS: Final = 9
#: Before the first answer of any kind a wrong address is likelier than an outage, so a mistake is told within seconds.
FIRST_ATTEMPTS: Final = 3
LONGEST_RETRY_AFTER: Final = 300.0
#: How many answers have to show a row that cannot be read before that is believed.
UNREADABLE_ANSWERS: Final = 3
#: Seconds after which a request that failed is not sent again, however few attempts there were: with a source that
#: hangs, each may take as long as the deadline.
PATIENCE: Final = 900.0

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


class _AgainError(Exception):
    """An attempt failed in a way that may pass. Never leaves this module."""

    def __init__(
        self,
        fact: str,
        *,
        pace_wait: float = 0.0,
        address_suspect: bool = False,
        remedy: str = "",
        kind: type[VapiSessionsError] = SourceUnavailableError,
    ) -> None:
        super().__init__(fact)
        self.pace_wait = pace_wait  # seconds the shared pace waits; 0: wait on our own
        self.address_suspect = address_suspect  # so far a wrong address explains it as well as an outage
        self.remedy = remedy  # besides the usual one
        self.kind = kind  # what it becomes if it does not pass before the first answer


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
#: After an answer that was larger than is read, this share of its rows is asked for.
_FEWER: Final = 8
#: Characters of what the source says that are shown, and that are looked at.
_SHOWN: Final = 160
_LOOKED_AT: Final = 4_000
#: How much of what is known of the sessions' size stays when another page arrives.
_REMEMBERED: Final = 0.75


class Source:
    """A client of one Sessions API with one key. Thread-safe; use as a context manager.

    `transport`, `now` (wall clock, µs), `monotonic` and `sleep` (seconds; None: until `stopping`) and `chance`
    (0 to 1) are injected by tests.
    `next_seq` numbers requests in the order they are sent. `on_wait(seconds, fact)` hears of every wait. Once `stopping`
    is set, nobody waits for an answer any more. Raises ConfigurationError if the environment's proxy cannot be used.
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
        sleep: Callable[[float], None] | None = None,
        chance: Callable[[], float] = random.random,
        on_wait: Callable[[float, str], None] = lambda seconds, fact: None,
        stopping: threading.Event | None = None,
    ) -> None:
        self._base_url = base_url
        self._proxy = proxy_for(base_url) if transport is None else None
        self._key = key
        self._own_key = OwnKey(key.get_secret_value())
        self._next_seq = next_seq
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._on_wait = on_wait
        self._answered = False
        self._stopping = stopping or threading.Event()
        self.pace = Pace(monotonic, self._wait, chance)
        self.traffic = Traffic()
        self._unreadable: set[str] = set()  # keys of rows that several answers showed so
        self._seen = (0.0, 0.0)  # sessions of the last pages, and their bytes
        self._most_rows: int | None = None  # of a page; None: no answer was too large yet
        self._transport = transport
        self._free: queue.LifoQueue[Connection | None] = queue.LifoQueue()  # None: one that is not made yet
        for _ in range(concurrency):
            self._free.put(None)
        self._lines: set[Connection] = set()

    def page_size(self, most: int) -> int:
        """How many sessions to ask for, at most `most`: a page of large ones would take memory that nobody has spared."""
        most = min(most, self._most_rows or most)
        if most * self._session_bytes <= _WHOLE_PAGE:
            return most
        return min(most, max(_LEAST_ROWS, int(_PART_OF_A_PAGE / self._session_bytes)))

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
        for line in tuple(self._lines):  # a thread that is being stopped may still add one
            line.close()

    def stop(self) -> None:
        """Let nobody wait for an answer any more: whoever does gets a SourceUnavailableError at once."""
        self._stopping.set()

    def list(self, query: Query) -> Page:
        """One page. Raises SourceRefusedError or SourceUnavailableError; retries before that.

        A row that cannot be read may be a passing fault, so it is believed only if several answers in a row show it so.
        If an answer would be larger than is read, fewer rows are asked for, then and later: `limit` of the page says how many.
        """
        page = self._fitting(query)
        for repetition in range(UNREADABLE_ANSWERS - 1):
            if all(row.key in self._unreadable for row in page.unreadable):
                break
            self._wait(0.5 * 2.0**repetition)
            page = self._fitting(query)
        self._unreadable.update(row.key for row in page.unreadable)
        return page

    def count(
        self, updated: Window | None = None, created: Window | None = None, ids: Sequence[str] = ()
    ) -> int:
        """How many sessions the source lists there, by one request for a single row (`limit=0` is undocumented)."""
        return self.list(Query(updated=updated, created=created, ids=ids, limit=1)).count

    def get(self, session_id: str) -> tuple[Row | UnreadableRow | None, int, int]:
        """One session, or None if the source answers 404; with the request's moment (µs) and seq."""
        try:
            return self._retrying(lambda: self._get_once(session_id))
        except TooLargeError:
            raise self._too_large("A session") from None

    def shown(self, text: str) -> str:
        """What the source says, as a message may repeat it: on one short line, without credentials and without our key.

        Both go before a cut makes a part of one.
        """
        looked_at = " ".join(text[:_LOOKED_AT].split())
        clean = redact_text(self._own_key.hide(looked_at))
        return plain("".join(c for c in clean if c.isprintable()), _SHOWN)

    def _fitting(self, query: Query) -> Page:
        """The page, or its first rows if it would be too large."""
        asked = replace(query, limit=min(query.limit, self._most_rows or query.limit))
        while True:
            try:
                return self._retrying(partial(self._list_once, asked))
            except TooLargeError:
                if asked.limit == 1:
                    raise self._too_large("A page of one session") from None
            asked = replace(asked, limit=max(1, asked.limit // _FEWER))
            self._most_rows = min(asked.limit, self._most_rows or asked.limit)

    def _too_large(self, what: str) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"{what} of {self._base_url} is larger than {LARGEST_ANSWER / 1e6:,.0f} MB, the most that is read.",
            "No real session is so large: look at what is between here and the source, and at --base-url.",
        )

    # -- one attempt -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _line(self) -> Iterator[Connection]:
        """One with a connection of its own, which nobody else uses meanwhile.

        The threads of a shared pool may close each other's connections, and whoever has already asked on one waits for the
        whole time-out (httpcore 1.0.9, encode/httpcore#1110).
        """
        line = self._free.get()  # waits while as many requests as allowed are under way
        try:
            if line is None:
                line = Connection(self._new_client, fake=self._transport is not None)
                self._lines.add(line)
            yield line
        finally:
            if line is not None and not line.is_usable:
                self._lines.discard(line)
                line = None
            self._free.put(line)

    def _new_client(self) -> httpx.Client:
        headers = {
            "Authorization": f"Bearer {self._key.get_secret_value()}",
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
        }
        return new_client(self._base_url, headers, self._proxy, self._transport)

    def _list_once(self, query: Query) -> Page:
        requested_at, seq = self._now(), self._next_seq()
        response = self._send("/session", query.params())
        body = self._json_body(response)
        try:
            metadata, bodies = split(body)
            listed = [read_session(raw, place) for place, raw in enumerate(bodies)]
        except (ValueError, RecursionError) as error:  # of Unicode and msgspec too
            raise _AgainError(f"an answer is not a list of sessions: {self.shown(str(error))}") from None
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
            return read_session(self._json_body(response)), requested_at, seq
        except (ValueError, RecursionError) as error:
            raise _AgainError(f"an answer is not a session: {self.shown(str(error))}") from None

    def _expect_object(self, response: Answer) -> None:
        try:
            msgspec.json.decode(self._json_body(response), type=dict[str, Any])
        except ValueError as error:
            raise _AgainError(f"an answer is not an object: {self.shown(str(error))}") from None

    def _send(self, path: str, params: Sequence[tuple[str, str]], *, absent_ok: bool = False) -> Answer:
        sent = self.pace.wait_turn()
        with self.traffic.lock:
            self.traffic.requests += 1
        try:
            with self._line() as line:
                latest = self._monotonic() + DEADLINE
                answer = line.ask(path, params, lambda: self._monotonic() > latest, self._stopping)
        except DeadlineError:
            raise _AgainError(
                f"{self._base_url} did not answer in full within {DEADLINE:.0f} s",
                address_suspect=True,
                remedy="If the network is slow, try a smaller --page-size.",
            ) from None
        except httpx.ProxyError as error:
            raise self._proxy_failure(str(error)) from None
        except httpx.ConnectError as error:
            raise self._no_connection(str(error)) from None
        except httpx.TimeoutException as error:
            raise _AgainError(
                f"{self._base_url} did not answer in time ({type(error).__name__})", address_suspect=True
            ) from None
        except httpx.HTTPError as error:  # resets, cut bodies, protocol errors
            raise _AgainError(f"the connection broke ({type(error).__name__})") from None
        except (httpx.InvalidURL, UnicodeError) as error:  # a host that is none, of ours or the proxy's
            raise unusable(self._base_url, self._proxy, error) from None
        with self.traffic.lock:
            self.traffic.bytes += len(answer.content)
        if 200 <= answer.status_code < 300 or (absent_ok and answer.status_code == 404):
            return answer
        raise self._error_for(answer, sent)

    def _no_connection(self, said: str) -> Exception:
        through = f" through the proxy {self._proxy}" if self._proxy is not None else ""
        remedy = ""
        if "CERTIFICATE_VERIFY_FAILED" in said:
            remedy = "If a proxy of the network opens TLS, point SSL_CERT_FILE at its certificate; else look at the clock."
        return _AgainError(
            f"{self._base_url} cannot be reached{through} ({self.shown(said) or 'no connection'})",
            address_suspect=True,
            remedy=remedy,
        )

    def _proxy_failure(self, said: str) -> Exception:
        """What a proxy answers to CONNECT: `407 Proxy Authentication Required`; or the failure of one that speaks SOCKS."""
        host, proxy = urlsplit(self._base_url).hostname, self._proxy
        if proxy is None:
            return _AgainError("the connection broke (ProxyError)")
        status = int(said[:3]) if said[:3].isdecimal() else None
        if status == 407:
            return self._wrong_password()
        if status is not None and 400 <= status < 500 and status not in (408, 429):
            return SourceRefusedError(
                f"The proxy {proxy} refuses the way to {host} ({self.shown(said)}).",
                f"Have it let {host} pass. If {host} can be reached without it, set NO_PROXY={host}.",
            )
        return _AgainError(
            f"the proxy {proxy} does not reach {host} ({self.shown(said)})",
            address_suspect=True,
            remedy=f"Check {proxy.variable}; if {host} can be reached without the proxy, set NO_PROXY={host}.",
            kind=SourceRefusedError,
        )

    def _wrong_password(self) -> ConfigurationError:
        proxy = self._proxy
        named = f"The proxy {proxy}" if proxy is not None else "A proxy between here and the source"
        variable = proxy.variable if proxy is not None else "HTTPS_PROXY"
        refuses = (
            "does not accept the name and password"
            if proxy is not None and proxy.has_password
            else "asks for a name and a password"
        )
        return ConfigurationError(
            f"{named} {refuses} (407).", f"Put them into {variable}: http://NAME:PASSWORD@HOST:PORT"
        )

    def _error_for(self, response: Answer, sent: float) -> Exception:
        """The table of statuses. The last row is for everything that has no row of its own."""
        status = response.status_code
        message = self.shown(_vendor_message(response))
        said = f': "{message}"' if message else ""
        who = stranger(response.headers, response.content)
        self._answered = self._answered or status == 429 or (who is None and response.is_json)
        match status:
            case 407:
                return self._wrong_password()
            case 408:
                return _AgainError("the source timed out (408)")
            case 429:
                return self._throttled(response, sent)
            case 511:
                return SourceUnavailableError(
                    "The network wants a sign-in before it lets anything through (511).",
                    "Open any page in a browser, sign in, then run again.",
                )
            case _ if 300 <= status < 400:
                return self._redirected(response)
            case _ if who is not None:
                return self._of_a_stranger(who, status)
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
            case _:
                return SourceUnavailableError(
                    f"The source answers {status}{said}, which no rule here covers.",
                    "Run again; if it stays, please report it.",
                )

    def _throttled(self, response: Answer, sent: float) -> Exception:
        retry_after = _retry_after(response, self._now())
        if retry_after is not None and retry_after > LONGEST_RETRY_AFTER:
            return SourceUnavailableError(
                f"The source asks to wait {retry_after:.0f} s (429).", "Run again after that."
            )
        wait = self.pace.throttled(sent, retry_after, _server_time(response) or self._now())
        with self.traffic.lock:
            self.traffic.throttled += 1
        return _AgainError("the source limits the rate (429)", pace_wait=max(wait, 0.001))

    def _redirected(self, response: Answer) -> SourceRefusedError:
        status, target = response.status_code, urlsplit("")
        with contextlib.suppress(ValueError):
            target = urlsplit(response.headers.get("location", ""))
        where = f"to {self.shown(target.netloc.rpartition('@')[2])}" if target.netloc else "elsewhere"
        return SourceRefusedError(
            f"{self._base_url} redirects {where} ({status}); the key is not sent on.",
            "If that is where the source is now, set --base-url to it. If it is a page of your network to sign in, do so first.",
        )

    def _of_a_stranger(self, who: Stranger, status: int) -> Exception:
        """A web page in place of the API's answer: it says nothing about the key, and whose it is, is what helps."""
        fact = self._said_by(who, status)
        if status >= 500:
            return _AgainError(fact)
        remedy = "The key is not the reason: look at the proxy, firewall or VPN between here and the source, and at --base-url."
        if who.is_cdn:
            remedy = "The key is not the reason: the CDN blocks this client. Look at the proxy and network you come from."
        return SourceRefusedError(f"{fact[0].upper()}{fact[1:]}.", remedy)

    def _in_place_of_data(self, who: Stranger, status: int) -> _AgainError:
        return _AgainError(
            self._said_by(who, status),
            address_suspect=True,
            remedy="If the network wants a sign-in first, open any page in a browser.",
        )

    def _said_by(self, who: Stranger, status: int) -> str:
        title = self.shown(who.title)
        return f"{who.who} answers {status} itself, not the API" + (f': "{title}"' if title else "")

    def _json_body(self, response: Answer) -> bytes:
        """The body, if the content type says JSON; a page of HTML or an empty 200 is never "no rows"."""
        if not response.is_json:
            if (who := stranger(response.headers, response.content)) is not None:
                raise self._in_place_of_data(who, response.status_code)
            kind = self.shown(response.content_type)
            raise _AgainError(f"an answer is {kind or 'of no declared type'}, not JSON", address_suspect=True)
        if not response.content:
            raise _AgainError("an answer is empty")
        return response.content

    # -- retries -----------------------------------------------------------------------------------------------

    def _retrying(self, attempt: Callable[[], T]) -> T:
        budget = _Budget(self)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(budget.may_pass),
            stop=budget.is_spent,
            wait=budget.seconds_until_next,
            sleep=self._wait,
            before_sleep=self._announce,
        )
        try:
            result = retrying(attempt)
        except tenacity.RetryError as error:
            tries = error.last_attempt.attempt_number
            last = error.last_attempt.exception()
            if not isinstance(last, _AgainError):  # the retry predicate lets nothing else through
                raise TypeError("a retry without its reason") from None
            usual = "Run again later: nothing that was read is lost."
            if not self._answered:
                usual = "Check --base-url and the network, then run again."
            kind = SourceUnavailableError if self._answered else last.kind
            raise kind(f"Gave up after {tries} attempts: {last}.", f"{usual} {last.remedy}".strip()) from None
        self._answered = True
        self.pace.succeeded()
        return result

    def _announce(self, state: tenacity.RetryCallState) -> None:
        error = _failure(state)
        with self.traffic.lock:
            self.traffic.retries += 1
        planned = state.next_action.sleep if state.next_action is not None else 0.0
        self._on_wait(error.pace_wait or planned, str(error))

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            with self.traffic.lock:
                self.traffic.waited += seconds
            if self._sleep is not None:
                self._sleep(seconds)
            elif self._stopping.wait(seconds):
                raise SourceUnavailableError("The run was stopped.")


def _failure(state: tenacity.RetryCallState) -> _AgainError:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, _AgainError):  # the retry predicate lets nothing else through
        raise TypeError("a retry without its reason")
    return error


class _Budget:
    """How often one request may fail, and how long it waits in between.

    Answers of 429 count for all requests together: as long as any of them succeeds, the others only wait for their turn.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._began = source._monotonic()
        self._failures = 0

    def may_pass(self, error: BaseException) -> bool:
        """Whether the attempt may be repeated at all; counts it."""
        again = isinstance(error, _AgainError)
        self._failures += isinstance(error, _AgainError) and not error.pace_wait
        return again

    def is_spent(self, state: tenacity.RetryCallState) -> bool:
        """Whether this attempt was the last."""
        source, error = self._source, _failure(state)
        if source._monotonic() - self._began > PATIENCE:
            return True
        if error.pace_wait:
            return source.pace.episodes >= ATTEMPTS
        hopeless = error.address_suspect and not source._answered
        return self._failures >= (FIRST_ATTEMPTS if hopeless else ATTEMPTS)

    def seconds_until_next(self, state: tenacity.RetryCallState) -> float:
        """0.5, 1, 2, 4 … s; none of our own after a 429, where the shared pace does the waiting."""
        return 0.0 if _failure(state).pace_wait else min(0.5 * 2.0 ** (self._failures - 1), LONGEST_WAIT)


def _vendor_message(response: Answer) -> str:
    """The message of the vendor's error body, or a plain-text body; "" for HTML."""
    try:
        said = json.loads(response.content)
        said = (said.get("message") or "") if isinstance(said, dict) else ""
        return "; ".join(map(str, said)) if isinstance(said, list) else str(said)
    except (ValueError, RecursionError):
        html = "html" in response.headers.get("content-type", "")
        return "" if html else response.content.decode(errors="replace")


def _retry_after(response: Answer, now: int) -> float | None:
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


def _server_time(response: Answer) -> int | None:
    if "age" in response.headers:  # a cache answered: its Date is not the source's present
        return None
    try:
        return timestamps.parse_http_date(response.headers.get("date", ""))
    except (ValueError, TypeError):
        return None
