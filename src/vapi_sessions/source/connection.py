"""One connection to the source, as the environment says, and a deadline for each request as a whole.

httpx has time-outs for single reads and writes; a body that comes byte by byte never meets them, and nothing ends a
name look-up. So each connection has a thread of its own. Whoever asks waits for its answer, no longer than the deadline
and not once the run is being stopped, and then gives the connection up. The thread is a daemon: nothing waits for it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import httpx

from vapi_sessions.errors import ConfigurationError, SourceUnavailableError
from vapi_sessions.source.compression import OFFERED, Decoder, EncodingError, TooLargeError
from vapi_sessions.source.proxies import Proxy

#: For single steps, seconds. What they leave open the deadline closes.
TIMEOUT: Final = httpx.Timeout(connect=10, read=120, write=30, pool=None)
#: Seconds for one request as a whole: name, connection, headers and body. A page of 8 MB needs 27 kB a second.
DEADLINE: Final = 300.0
#: Bytes of one answer, compressed or not. A page of 1,000 sessions of 250 kB; of larger ones fewer are asked for.
LARGEST_ANSWER: Final = 256_000_000
#: Bytes of an answer that is no data that are read: the beginning of an error tells enough.
_LARGEST_ERROR: Final = 1_000_000
#: Seconds. How often somebody who waits looks at the deadline and whether the run is being stopped.
_LOOKS_EVERY: Final = 0.2
#: Seconds that a connection without a request gets to close.
_CLOSES_IN: Final = 1.0

Params = Sequence[tuple[str, str]]
#: What sends requests; tests give one of their own.
Transport = httpx.BaseTransport


def _without_the_answer(record: logging.LogRecord) -> bool:
    """Out of log lines: httpx logs the words of the status line, and httpcore all headers and what it cannot read: texts of the source."""
    if record.name == "httpx":
        asked = record.args[:-1] if isinstance(record.args, tuple) else ()
        record.msg, record.args = f"HTTP Request: {' '.join(map(str, asked))}", ()
    else:
        record.msg, record.args = record.getMessage().split(" ", 1)[0], ()
    return True


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(_without_the_answer)


class Answer(NamedTuple):
    """A response that was read to its end. httpx's own is part of a reference cycle, and would keep megabytes for a while."""

    status_code: int
    headers: httpx.Headers
    content: bytes

    @property
    def content_type(self) -> str:
        """In lower case, without parameters."""
        kind: str = self.headers.get("content-type", "").split(";")[0].strip().lower()
        return kind

    @property
    def is_json(self) -> bool:
        """Whether the content type says so."""
        return self.content_type == "application/json" or self.content_type.endswith("+json")


class DeadlineError(Exception):
    """The answer was not there in time. Never leaves the client."""


def new_client(
    base_url: str, headers: dict[str, str], proxy: Proxy | None, transport: httpx.BaseTransport | None
) -> httpx.Client:
    """A client of the source. Raises ConfigurationError if the environment or the address make it impossible."""
    trust = _nobody() if base_url.startswith("http://") else _trust()
    try:
        return httpx.Client(
            base_url=base_url,
            headers={**headers, "Accept-Encoding": OFFERED},
            timeout=TIMEOUT,
            verify=trust,
            transport=transport,
            proxy=_httpx_proxy(proxy) if proxy is not None and transport is None else None,
            trust_env=False,  # what the environment says is read here, and in `proxies`
            follow_redirects=False,  # a redirect to another host must not receive the key
        )
    except (httpx.InvalidURL, ValueError, ImportError) as error:
        raise unusable(base_url, proxy, error) from None


def unusable(base_url: str, proxy: Proxy | None, error: Exception) -> ConfigurationError:
    """The error for an address that no connection can be tried to, for whatever reason."""
    through = f", through the proxy {proxy}," if proxy is not None else ""
    return ConfigurationError(
        f"No connection to {base_url}{through} can be tried ({type(error).__name__}).",
        f"Check VAPI_BASE_URL or --base-url{f', and {proxy.variable}' if proxy is not None else ''}.",
    )


def _httpx_proxy(proxy: Proxy) -> httpx.Proxy:
    return httpx.Proxy(proxy.url, ssl_context=_trust() if proxy.scheme == "https" else None)


def _trust() -> ssl.SSLContext:
    return _trusting(*(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")))


@functools.cache
def _trusting(file: str | None, directory: str | None, key_log: str | None) -> ssl.SSLContext:
    """As httpx finds the authorities by these variables; reading them costs as much as opening a database."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # of TLS too
        named = [("SSLKEYLOGFILE", key_log)] if key_log and error.filename == key_log else []
        named += [
            (name, value) for name, value in (("SSL_CERT_FILE", file), ("SSL_CERT_DIR", directory)) if value
        ]
        reason = (
            error.strerror
            if error.filename or not isinstance(error, ssl.SSLError)
            else "no certificate in it"
        )
        if not named:
            raise ConfigurationError(
                f"The certificates of the package certifi cannot be read: {reason}.",
                "Install it again: make setup",
            ) from None
        name, value = named[0]
        purpose = (
            "a file that can be written" if name == "SSLKEYLOGFILE" else "certificates of authorities (PEM)"
        )
        raise ConfigurationError(
            f"{name} is {value}, which cannot be used: {reason}.", f"Point it at {purpose}, or unset {name}."
        ) from None


@functools.cache
def _nobody() -> ssl.SSLContext:
    """For plain HTTP, which needs no authorities."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Connection:
    """One connection with its thread. One request at a time.

    A line with a `fake` transport, which cannot hang, is asked in the caller's own thread.
    """

    def __init__(self, make: Callable[[], httpx.Client], *, fake: bool = False) -> None:
        self._client = make()
        self._fake = fake
        self._orders: queue.SimpleQueue[tuple[str, Params, queue.SimpleQueue[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._given_up = False

    @property
    def is_usable(self) -> bool:
        """Whether it may be asked again: not after somebody did not wait for an answer."""
        return not self._given_up

    def ask(
        self, path: str, params: Params, is_late: Callable[[], bool], stopping: threading.Event
    ) -> Answer:
        """One request. Raises DeadlineError, SourceUnavailableError if the run is being stopped, and what httpx raises."""
        if self._fake:
            return self._exchange(path, params)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="http", daemon=True)
            self._thread.start()
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            self._orders.put((path, params, answers))
            while True:
                try:
                    outcome = answers.get(timeout=_LOOKS_EVERY)
                    break
                except queue.Empty:
                    if stopping.is_set():
                        raise SourceUnavailableError("The run was stopped.") from None
                    if is_late():
                        raise DeadlineError from None
        except BaseException:  # Ctrl-C too
            self._give_up()
            raise
        if isinstance(outcome, BaseException):
            raise outcome
        answer: Answer = outcome
        return answer

    def close(self) -> None:
        """End the thread, unless it hangs, and close the connection. Harmless when repeated."""
        if self._thread is None:
            self._client.close()
            return
        self._orders.put(None)
        if not self._given_up:
            self._thread.join(_CLOSES_IN)

    def _give_up(self) -> None:
        """Break the connection under whoever still reads from it; the thread then closes it."""
        self._given_up = True
        self._orders.put(None)
        self._break()

    def _break(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # closed already
                # A TLS socket's own would take the object away that another thread reads with.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _work(self) -> None:
        with self._client:
            while (order := self._orders.get()) is not None:
                path, params, answers = order
                try:
                    answers.put(self._exchange(path, params))
                except BaseException as error:  # for whoever asked
                    answers.put(error)
                del order, answers  # or the page stays in memory until the next one arrives

    def _exchange(self, path: str, params: Params) -> Answer:
        extensions = {"trace": self._watch}
        with self._client.stream("GET", path, params=list(params), extensions=extensions) as response:
            content = _body(response)
        return Answer(response.status_code, response.headers, content)

    def _watch(self, event: str, info: dict[str, Any]) -> None:
        """Remember the socket of a new connection (httpx's `trace` extension)."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")
            if self._given_up:  # while the connection was being made
                self._break()


def _body(response: httpx.Response) -> bytes:
    """The decoded body, read as it comes. Raises TooLargeError as soon as it exceeds what is read; an error is only cut."""
    is_error = response.status_code >= 300
    most = _LARGEST_ERROR if is_error else LARGEST_ANSWER
    if response.is_stream_consumed:  # of a fake transport, which holds it already
        content = response.content
        if len(content) > most and not is_error:
            raise TooLargeError
        return content[:most]
    decoder = None
    try:
        decoder = Decoder(response.headers.get("content-encoding", ""), most)
        for piece in response.iter_raw():
            decoder.feed(piece)
        return decoder.finish()
    except TooLargeError:
        if not is_error and decoder is not None:
            decoder.drop()  # the error's frames hold it for a while
            raise
    except EncodingError as error:
        if not is_error:
            raise httpx.DecodingError(str(error), request=response.request) from None
    return decoder.beginning if decoder is not None else b""
