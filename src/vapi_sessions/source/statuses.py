"""The meaning of each HTTP status, in one table, and of responses that are not the API's own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from vapi_sessions.core import timestamps
from vapi_sessions.errors import SourceRefusedError, SourceUnavailableError
from vapi_sessions.source.connection import Response
from vapi_sessions.source.intermediaries import Intermediary, intermediary_of
from vapi_sessions.source.proxies import Proxy, password_error
from vapi_sessions.source.quoting import Quoter
from vapi_sessions.source.rate_limits import Pace
from vapi_sessions.source.retries import RetryableError

#: Seconds. A longer `Retry-After` is reported as an error instead of being waited for.
LONGEST_RETRY_AFTER: Final = 300.0


class Statuses:
    """Turns responses of one source into errors or into the body of the response. `now` is the wall clock, µs."""

    def __init__(
        self, base_url: str, proxy: Proxy | None, *, quoter: Quoter, pace: Pace, now: Callable[[], int]
    ) -> None:
        self._base_url = base_url
        self._proxy = proxy
        self._quote = quoter.quote
        self._pace = pace
        self._now = now

    def error(self, response: Response, sent: float) -> Exception:
        """The table of statuses. The last row covers everything without a row of its own.

        `sent`: when the request was sent, monotonic seconds. A 429 slows down the shared pace.
        """
        status = response.status_code
        message = self._quote(_vendor_message(response))
        said = f': "{message}"' if message else ""
        sender = intermediary_of(response.headers, response.content)
        match status:
            case 407:
                return password_error(self._proxy)
            case 408:
                return RetryableError("the source timed out (408)")
            case 429:
                return self._throttled(response, sent)
            case 511:
                return SourceUnavailableError(
                    "The network requires a sign-in (511).",
                    "Open any page in a browser, sign in, then run again.",
                )
            case _ if 300 <= status < 400:
                return self._redirected(response)
            case _ if sender is not None:
                return self._error_of(sender, status)
            case _ if status >= 500:
                return RetryableError(f"the source returned an error ({status}{said})")
            case 400 | 422:
                return SourceRefusedError(
                    f"The source refuses the request ({status}{said}).",
                    "Check the options. If they are right, the API has changed: please report it.",
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
                    f"The source returned an unexpected status ({status}{said}).",
                    "Run again; if it happens again, please report it.",
                )

    def json_body(self, response: Response) -> bytes:
        """The body of a response whose content type is JSON. A page of HTML or an empty body never means "no rows"."""
        if not response.is_json:
            if (sender := intermediary_of(response.headers, response.content)) is not None:
                raise RetryableError(
                    self._sent_by(sender, response.status_code),
                    address_suspect=True,
                    remedy="If the network requires a sign-in, open any page in a browser.",
                )
            kind = self._quote(response.content_type)
            raise RetryableError(
                f"a response is {kind or 'of no declared type'}, not JSON", address_suspect=True
            )
        if not response.content:
            raise RetryableError("a response is empty")
        return response.content

    def _throttled(self, response: Response, sent: float) -> Exception:
        retry_after = _retry_after(response, self._now())
        if retry_after is not None and retry_after > LONGEST_RETRY_AFTER:
            return SourceUnavailableError(
                f"The source asks to wait {retry_after:.0f} s (429).", "Run again after that."
            )
        wait = self._pace.throttled(sent, retry_after, server_time(response) or self._now())
        return RetryableError("the source limits the rate (429)", pace_wait=max(wait, 0.001))

    def _redirected(self, response: Response) -> SourceRefusedError:
        status, target = response.status_code, urlsplit("")
        with contextlib.suppress(ValueError):
            target = urlsplit(response.headers.get("location", ""))
        where = f"to {self._quote(target.netloc.rpartition('@')[2])}" if target.netloc else "elsewhere"
        return SourceRefusedError(
            f"{self._base_url} redirects {where} ({status}); the key was not sent there.",
            "If the source has moved, set --base-url to its new address. If your network requires a sign-in, sign in first.",
        )

    def _error_of(self, sender: Intermediary, status: int) -> Exception:
        """A web page instead of the API's response. It says nothing about the key; its sender is what helps."""
        fact = self._sent_by(sender, status)
        if status >= 500:
            return RetryableError(fact)
        remedy = "Check the proxy, firewall or VPN between this machine and the source, and --base-url."
        if sender.is_cdn:
            remedy = "The CDN blocks this client: check the proxy and network that you connect from."
        return SourceRefusedError(f"{fact[0].upper()}{fact[1:]}.", f"The key is not the cause. {remedy}")

    def _sent_by(self, sender: Intermediary, status: int) -> str:
        title = self._quote(sender.title)
        return f"{sender.name} answers {status} itself, not the API" + (f': "{title}"' if title else "")


def is_from_source(response: Response) -> bool:
    """Whether an error shows that the address is right: the source sent it, or at least limits requests there."""
    return response.status_code == 429 or (
        response.is_json and intermediary_of(response.headers, response.content) is None
    )


def server_time(response: Response) -> int | None:
    """The source's clock, µs, from the `Date` header. None if there is none, or if a cache sent the response."""
    if "age" in response.headers:
        return None
    try:
        return timestamps.parse_http_date(response.headers.get("date", ""))
    except (ValueError, TypeError):
        return None


def _vendor_message(response: Response) -> str:
    """The message of the vendor's error body, or a plain-text body; "" for HTML."""
    try:
        said = json.loads(response.content)
        said = (said.get("message") or "") if isinstance(said, dict) else ""
        return "; ".join(map(str, said)) if isinstance(said, list) else str(said)
    except (ValueError, RecursionError):
        html = "html" in response.headers.get("content-type", "")
        return "" if html else response.content.decode(errors="replace")


def _retry_after(response: Response, now: int) -> float | None:
    """Seconds from a `Retry-After` header in either of its forms; None if there is no usable one."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        now = server_time(response) or now  # the date refers to the clock of its sender
        return max(0.0, (timestamps.parse_http_date(value) - now) / timestamps.SECOND)
    except (ValueError, TypeError):
        return None
