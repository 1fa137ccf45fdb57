"""One connection to the source, with a deadline for each request as a whole.

The time-outs of httpx apply to single reads and writes: a body that arrives byte by byte never exceeds them, and nothing
ends a name look-up. So each connection has a thread of its own. The caller waits for the thread's response until the
deadline, or until the run is stopped, and then gives up the connection. The thread is a daemon: nothing waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import httpx

from vapi_sessions.errors import ConfigurationError, SourceUnavailableError
from vapi_sessions.source.certificates import none_trusted, trusted
from vapi_sessions.source.compression import OFFERED, Decoder, EncodingError, TooLargeError
from vapi_sessions.source.proxies import Proxy

#: Seconds, for single reads and writes. The deadline covers the rest.
TIMEOUT: Final = httpx.Timeout(connect=10, read=120, write=30, pool=None)
#: Seconds for one request as a whole: name, connection, headers and body. A page of 8 MB needs 27 kB/s.
DEADLINE: Final = 300.0
#: Bytes of one response, compressed or not: a page of 1,000 sessions of 250 kB. If sessions are larger, fewer are requested.
LARGEST_RESPONSE: Final = 256_000_000
#: Bytes of an error response that are read. The beginning is enough.
_LARGEST_ERROR: Final = 1_000_000
#: Seconds between checks of the deadline and of whether the run is being stopped.
_CHECK_EVERY: Final = 0.2
#: Seconds that an idle connection gets to close.
_CLOSES_IN: Final = 1.0

Params = Sequence[tuple[str, str]]


def _without_response(record: logging.LogRecord) -> bool:
    """Remove text of the source from log lines: httpx logs the status line; httpcore logs headers and unreadable input."""
    if record.name == "httpx":
        asked = record.args[:-1] if isinstance(record.args, tuple) else ()
        record.msg, record.args = f"HTTP Request: {' '.join(map(str, asked))}", ()
    else:
        record.msg, record.args = record.getMessage().split(" ", 1)[0], ()
    return True


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(_without_response)


class Response(NamedTuple):
    """A complete response. The one of httpx is part of a reference cycle, which would keep megabytes in memory for a while."""

    status_code: int
    headers: httpx.Headers
    content: bytes

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        kind: str = self.headers.get("content-type", "").split(";")[0].strip().lower()
        return kind

    @property
    def is_json(self) -> bool:
        """Whether the content type is JSON."""
        return self.content_type == "application/json" or self.content_type.endswith("+json")


class DeadlineError(Exception):
    """The response was not complete in time. Never leaves the client."""


def new_client(
    base_url: str, headers: dict[str, str], proxy: Proxy | None, transport: httpx.BaseTransport | None
) -> httpx.Client:
    """A client of httpx. Raises ConfigurationError if the environment or the address is unusable."""
    trust = none_trusted() if base_url.startswith("http://") else trusted()
    try:
        return httpx.Client(
            base_url=base_url,
            headers={**headers, "Accept-Encoding": OFFERED},
            timeout=TIMEOUT,
            verify=trust,
            transport=transport,
            proxy=_httpx_proxy(proxy) if proxy is not None and transport is None else None,
            trust_env=False,  # the environment is read in `certificates` and `proxies`
            follow_redirects=False,  # a redirect to another host must not receive the key
        )
    except (httpx.InvalidURL, ValueError, ImportError) as error:
        raise unusable_address(base_url, proxy, error) from None


def unusable_address(base_url: str, proxy: Proxy | None, error: Exception) -> ConfigurationError:
    """The error for an address that no connection can be opened to."""
    through = f" through the proxy {proxy}" if proxy is not None else ""
    return ConfigurationError(
        f"No connection to {base_url}{through} is possible ({type(error).__name__}).",
        f"Check VAPI_BASE_URL or --base-url{f', and {proxy.variable}' if proxy is not None else ''}.",
    )


def _httpx_proxy(proxy: Proxy) -> httpx.Proxy:
    return httpx.Proxy(proxy.url, ssl_context=trusted() if proxy.scheme == "https" else None)


class Connection:
    """One connection with its thread. One request at a time.

    With a `fake` transport, which cannot hang, requests run in the caller's own thread.
    """

    def __init__(self, client: httpx.Client, *, fake: bool = False) -> None:
        self._client = client
        self._fake = fake
        self._orders: queue.SimpleQueue[tuple[str, Params, queue.SimpleQueue[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._given_up = False

    @property
    def is_usable(self) -> bool:
        """Whether it can take another request: False once a caller has stopped waiting for a response."""
        return not self._given_up

    def ask(
        self, path: str, params: Params, is_late: Callable[[], bool], stopping: threading.Event
    ) -> Response:
        """One request. Raises DeadlineError, SourceUnavailableError if the run is stopped, and exceptions of httpx."""
        if self._fake:
            return self._exchange(path, params)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="http", daemon=True)
            self._thread.start()
        responses: queue.SimpleQueue[Any] = queue.SimpleQueue()
        try:
            self._orders.put((path, params, responses))
            while True:
                try:
                    outcome = responses.get(timeout=_CHECK_EVERY)
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
        response: Response = outcome
        return response

    def close(self) -> None:
        """End the thread, unless it hangs, and close the connection. May be called twice."""
        if self._thread is None:
            self._client.close()
            return
        self._orders.put(None)
        if not self._given_up:
            self._thread.join(_CLOSES_IN)

    def _give_up(self) -> None:
        """Interrupt the thread, which may still be reading; it then closes the connection."""
        self._given_up = True
        self._orders.put(None)
        self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # closed already
                # `shutdown` of a TLS socket would discard the TLS object that the other thread is reading with.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _work(self) -> None:
        with self._client:
            while (order := self._orders.get()) is not None:
                path, params, responses = order
                try:
                    responses.put(self._exchange(path, params))
                except BaseException as error:  # raised again in the caller's thread
                    responses.put(error)
                del order, responses  # otherwise the page stays in memory until the next one arrives

    def _exchange(self, path: str, params: Params) -> Response:
        extensions = {"trace": self._watch}
        with self._client.stream("GET", path, params=list(params), extensions=extensions) as response:
            content = _body(response)
        return Response(response.status_code, response.headers, content)

    def _watch(self, event: str, info: dict[str, Any]) -> None:
        """Remember the socket of a new connection (httpx's `trace` extension)."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")
            if self._given_up:  # while the connection was being opened
                self._shut_down()


def _body(response: httpx.Response) -> bytes:
    """The decoded body, read as it arrives. Raises TooLargeError beyond the limit; the body of an error is truncated instead."""
    is_error = response.status_code >= 300
    most = _LARGEST_ERROR if is_error else LARGEST_RESPONSE
    if response.is_stream_consumed:  # a fake transport has read it already
        content = response.content
        if len(content) > most and not is_error:
            raise TooLargeError
        return content[:most]
    decoder = None
    try:
        decoder = Decoder(response.headers.get("content-encoding", ""), most)
        for chunk in response.iter_raw():
            decoder.feed(chunk)
        return decoder.finish()
    except TooLargeError:
        if not is_error and decoder is not None:
            decoder.drop()  # the frames of the exception keep it alive for a while
            raise
    except EncodingError as error:
        if not is_error:
            raise httpx.DecodingError(str(error), request=response.request) from None
    return decoder.beginning if decoder is not None else b""
