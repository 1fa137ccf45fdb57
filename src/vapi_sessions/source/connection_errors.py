"""The meaning of each failure of a connection: no connection, a proxy, a time-out, a broken connection."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from vapi_sessions.errors import SourceRefusedError
from vapi_sessions.source.connection import DEADLINE, DeadlineError, unusable_address
from vapi_sessions.source.proxies import Proxy, password_error
from vapi_sessions.source.quoting import Quoter
from vapi_sessions.source.retries import RetryableError


class ConnectionErrors:
    """Turns the exceptions of a request to one source into errors with a remedy."""

    def __init__(self, base_url: str, proxy: Proxy | None, quoter: Quoter) -> None:
        self._base_url = base_url
        self._proxy = proxy
        self._quote = quoter.quote

    def error(self, caught: Exception) -> Exception:
        """The error for `caught`: DeadlineError, or an exception of httpx."""
        match caught:
            case DeadlineError():
                return RetryableError(
                    f"{self._base_url} did not answer in full within {DEADLINE:.0f} s",
                    address_suspect=True,
                    remedy="If the network is slow, try a smaller --page-size.",
                )
            case httpx.ProxyError():
                return self._proxy_failure(str(caught))
            case httpx.ConnectError():
                return self._no_connection(str(caught))
            case httpx.TimeoutException():
                return RetryableError(
                    f"{self._base_url} did not answer in time ({type(caught).__name__})", address_suspect=True
                )
            case httpx.HTTPError():  # resets, truncated bodies, protocol errors
                return RetryableError(f"the connection broke ({type(caught).__name__})")
            case _:  # an invalid host of the base URL or of the proxy
                return unusable_address(self._base_url, self._proxy, caught)

    def _no_connection(self, reason: str) -> RetryableError:
        through = f" through the proxy {self._proxy}" if self._proxy is not None else ""
        remedy = ""
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            remedy = "If a proxy decrypts TLS, set SSL_CERT_FILE to its certificate. Otherwise check the system clock."
        return RetryableError(
            f"{self._base_url} cannot be reached{through} ({self._quote(reason) or 'no connection'})",
            address_suspect=True,
            remedy=remedy,
        )

    def _proxy_failure(self, reason: str) -> Exception:
        """The response of a proxy to CONNECT (`407 Proxy Authentication Required`), or the failure of a SOCKS proxy."""
        host, proxy = urlsplit(self._base_url).hostname, self._proxy
        if proxy is None:
            return RetryableError("the connection broke (ProxyError)")
        status = int(reason[:3]) if reason[:3].isdecimal() else None
        if status == 407:
            return password_error(proxy)
        without_proxy = f"If {host} can be reached without the proxy, set NO_PROXY={host}."
        if status is not None and 400 <= status < 500 and status not in (408, 429):
            return SourceRefusedError(
                f"The proxy {proxy} refuses to connect to {host} ({self._quote(reason)}).",
                f"Allow {host} in the proxy. {without_proxy}",
            )
        return RetryableError(
            f"the proxy {proxy} cannot reach {host} ({self._quote(reason)})",
            address_suspect=True,
            remedy=f"Check {proxy.variable}. {without_proxy}",
            kind=SourceRefusedError,
        )
