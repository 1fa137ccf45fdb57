"""Which proxy the environment names for an address, by curl's rules.

httpx rejects some values of `NO_PROXY` that curl accepts. An entry of `NO_PROXY` is a host (which includes its subdomains),
an address, a network (`10.0.0.0/8`, `fd00::/8`), any of these with a port, or `*`; other entries are ignored. Requests to
this machine never use a proxy: a remote proxy would look for the server on its own machine, and would receive the key.
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
    """A proxy, and the variable that names it. `url` may contain a password: show `str(proxy)` instead."""

    url: str
    variable: str

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{host}{port} ({self.variable})"

    @property
    def scheme(self) -> str:
        """`http`, `https`, `socks5` or `socks5h`."""
        return urlsplit(self.url).scheme

    @property
    def has_password(self) -> bool:
        """Whether it is given a user name and a password."""
        return urlsplit(self.url).username is not None


def proxy_for(address: str) -> Proxy | None:
    """The proxy to use for `address`, an http(s) URL; None for a direct connection.

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


def password_error(proxy: Proxy | None) -> ConfigurationError:
    """The error for a proxy that answers 407; None: a proxy that no variable names."""
    name = f"The proxy {proxy}" if proxy is not None else "A proxy between this machine and the source"
    variable = proxy.variable if proxy is not None else "HTTPS_PROXY"
    problem = (
        "rejects the user name and password"
        if proxy is not None and proxy.has_password
        else "requires a user name and password"
    )
    return ConfigurationError(
        f"{name} {problem} (407).", f"Set them in {variable}: http://USER:PASSWORD@HOST:PORT"
    )


def _variable(kind: str) -> str:
    """The variable that sets the proxy; the one in lower case takes precedence."""
    name = f"{kind}_proxy"
    set_ones = [other for other in os.environ if other.lower() == name and os.environ[other]]
    return min(set_ones, key=lambda other: other != name, default="the proxy in the system's settings")


def _checked(url: str, variable: str) -> Proxy:
    """The proxy, if its address is usable. Errors do not show the address: it may contain a password."""
    try:
        parts = urlsplit(url.strip())
        usable = bool(parts.hostname) and is_usable(parts.hostname or "") and parts.port != 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if not usable or not url.strip().isprintable() or " " in url.strip():
        raise ConfigurationError(
            f"{variable} is not the address of a proxy.",
            f"Set it to an address like http://proxy.example:3128, or unset {variable}.",
        )
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(
            f"{variable} has the scheme {parts.scheme!r}, which is not supported.",
            f"Use one of {', '.join(_SCHEMES)}, or unset {variable}.",
        )
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise ConfigurationError(
            f"{variable} names a SOCKS proxy, which requires the package socksio.",
            f"Install it in this environment (pip install socksio), use an http:// proxy, or unset {variable}.",
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
    except (ValueError, TypeError):  # one of the two is a name
        name = entry.lower().removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith("." + name))


def _without_port(entry: str) -> tuple[str, int | None]:
    """Split `[::1]:80`, `[fd00::]/8` or `host:80`. The port is optional, and so are the brackets of an IPv6 address."""
    if bracketed := re.fullmatch(r"\[([^]]*)\](?::(\d+)|(/\d+))?", entry):
        host, port, prefix = bracketed.groups()
        return host + (prefix or ""), int(port) if port else None
    host, _, port = entry.partition(":")
    return (host, int(port)) if port.isdecimal() and port.isascii() else (entry, None)
