"""Hosts of addresses: their canonical spelling, which ones are usable, which are this machine, and which mean the same source. Pure."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from typing import Final
from urllib.parse import SplitResult, urlsplit

#: Characters that IDNA treats as a full stop (RFC 3490, 3.1). NFKC turns the third one, U+FF61, into U+3002.
_FULL_STOPS: Final = str.maketrans("\u3002\uff0e", "..")
#: Names of this machine in the hosts files of common systems. `localhost` also includes its subdomains.
_LOOPBACK_NAMES: Final = frozenset(
    {
        "localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6",
        "localhost6.localdomain6", "ip6-localhost", "ip6-loopback",
    }
)  # fmt: skip
#: IPv4 addresses as `inet_aton`, and so every resolver, accepts them: one to four numbers, decimal, octal or hexadecimal.
_NUMBERS: Final = re.compile(r"(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+)){0,3}", re.IGNORECASE)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_FOUR_NUMBERS: Final = re.compile(r"[0-9]+(\.[0-9]+){3}")


def canonical(host: str) -> str:
    """The canonical spelling of a host: lower case, ASCII full stops, none at the end, IPv4 addresses as four numbers.

    Variants of a character (such as full-width letters) are replaced by it (NFKC). Other names that are not ASCII are kept.
    """
    name = unicodedata.normalize("NFKC", host.translate(_FULL_STOPS)).translate(_FULL_STOPS).lower()
    name = name.removesuffix(".") if len(name) > 1 else name
    if _NUMBERS.fullmatch(name) and not _FOUR_NUMBERS.fullmatch(name):
        try:
            return str(ipaddress.IPv4Address(socket.inet_aton(name)))
        except OSError:  # a number that is too large
            return name
    return name


def with_canonical_host(url: str) -> SplitResult:
    """The parts of an http(s) URL, with the scheme in lower case and the canonical spelling of the host.

    Raises ValueError if the host or the port is invalid.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" not in host:
        host = canonical(host)
    port = f":{parts.port}" if parts.port is not None else ""
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}{f'[{host}]' if ':' in host else host}{port}")


def is_usable(host: str) -> bool:
    """Whether a connection to this host is possible at all. `host` has no brackets, as `urlsplit` returns it."""
    if ":" in host or _FOUR_NUMBERS.fullmatch(host):
        return _ip(host) is not None
    try:
        host.encode("idna")  # like a socket: no label is empty or longer than 63 characters
    except UnicodeError:
        return False
    return not host.isascii() or _NAME.fullmatch(host) is not None


def is_below(host: str, domain: str) -> bool:
    """Whether the host is this domain or a subdomain of it, in any spelling."""
    return f".{canonical(host)}".endswith(f".{domain}")


def is_this_machine(host: str) -> bool:
    """Whether the host is this machine: `localhost` and similar names, 127.0.0.0/8, `::1`, and the unspecified address."""
    name = canonical(host)
    if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    address = _ip(name)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and (address.is_loopback or address.is_unspecified)


def is_same_source(one: str, other: str) -> bool:
    """Whether two addresses of an API mean the same source.

    The scheme does not count. All addresses of this machine are one: they belong to emulators and tunnels, which get another port
    at each start. Raises ValueError for an invalid address.
    """
    return _identity(one) == _identity(other)


def _identity(url: str) -> tuple[str, int | None, str]:
    parts = with_canonical_host(url)
    host = parts.hostname or ""
    if is_this_machine(host):
        return "this machine", None, ""
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return host, None if parts.port == default else parts.port, parts.path.rstrip("/")


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
