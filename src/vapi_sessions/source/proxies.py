"""Which proxy the environment names for one address.

By curl's rules, not by httpx's, which refuses a `NO_PROXY` that curl understands. In `NO_PROXY` an entry is a host (with
all below it), an address, a network (`10.0.0.0/8`, `fd00::/8`), any of them with a port, or `*`; what is none of these is
passed over. This machine is never asked through a proxy: a proxy elsewhere would look for the server on its own machine,
and would be sent the key.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import urllib.request
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from vapi_sessions.core.addresses import is_this_machine, is_usable
from vapi_sessions.errors import ConfigurationError

_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the variable that names it. `url` may hold a password: show `str(proxy)`."""

    url: str
    variable: str

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{host}{port} ({self.variable})"

    @property
    def scheme(self) -> str:
        """http, https, socks5 or socks5h."""
        return urlsplit(self.url).scheme

    @property
    def has_password(self) -> bool:
        """Whether a name and a password are sent to it."""
        return urlsplit(self.url).username is not None


def proxy_for(address: str) -> Proxy | None:
    """The proxy on the way to `address`, an http(s) URL; None: directly.

    Raises ConfigurationError, which names the variable, if the proxy cannot be used.
    """
    target = urlsplit(address)
    if is_this_machine(target.hostname or ""):
        return None
    found = urllib.request.getproxies()
    if _is_exempt(target, found.get("no", "")):
        return None
    for kind in (target.scheme, "all"):
        if url := found.get(kind):
            return _checked(url if "://" in url else f"http://{url}", _variable(kind))
    return None


def _variable(kind: str) -> str:
    """The variable that won: the one in lower case, if there are two."""
    name = f"{kind}_proxy"
    set_ones = [other for other in os.environ if other.lower() == name and os.environ[other]]
    return min(set_ones, key=lambda other: other != name, default="the proxy in the system's settings")


def _checked(url: str, variable: str) -> Proxy:
    """The proxy, if a connection through it can be tried. Its address is not shown as given: it may hold a password."""
    try:
        parts = urlsplit(url.strip())
        usable = bool(parts.hostname) and is_usable(parts.hostname or "") and parts.port != 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if not usable or not url.strip().isprintable() or " " in url.strip():
        raise ConfigurationError(
            f"{variable} does not hold the address of a proxy.",
            f"Write it like http://proxy.example:3128, or unset {variable}.",
        )
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(
            f"{variable} names a proxy of the kind {parts.scheme!r}, which is not supported.",
            f"Supported are {', '.join(_SCHEMES)}. Give one of them, or unset {variable}.",
        )
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ConfigurationError(
            f"{variable} names a SOCKS proxy, and the package socksio, which speaks with it, is not installed.",
            f"Install it into the same environment (pip install socksio), give an http:// proxy, or unset {variable}.",
        )
    return Proxy(url.strip(), variable)


def _is_exempt(target: SplitResult, no_proxy: str) -> bool:
    return any(_covers(entry, target) for entry in re.split(r"[,\s]+", no_proxy) if entry)


def _covers(entry: str, target: SplitResult) -> bool:
    if entry == "*":
        return True
    scheme, separator, entry = entry.rpartition("://")
    if separator and scheme not in (target.scheme, "all"):
        return False
    host = (target.hostname or "").rstrip(".")
    entry, port = _without_port(entry)
    if port is not None and port != (target.port or _DEFAULT_PORTS[target.scheme]):
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except (ValueError, TypeError):  # one of them is a name
        name = entry.lower().removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith("." + name))


def _without_port(entry: str) -> tuple[str, int | None]:
    """`[::1]:80`, `[fd00::]/8`, `host:80`, or one of them without a port; an address of IPv6 may stand without brackets."""
    if bracketed := re.fullmatch(r"\[([^]]*)\](?::(\d+)|(/\d+))?", entry):
        host, port, prefix = bracketed.groups()
        return host + (prefix or ""), int(port) if port else None
    host, _, port = entry.partition(":")
    return (host, int(port)) if port.isdecimal() and port.isascii() else (entry, None)
