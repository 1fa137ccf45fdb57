"""Hosts as they stand in an address: which ones a connection can be tried to, and which are this machine. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_FOUR_NUMBERS: Final = re.compile(r"[0-9]+(\.[0-9]+){3}")


def is_usable(host: str) -> bool:
    """Whether a connection to this host can be tried at all. `host` is without brackets, as `urlsplit` gives it."""
    if ":" in host or _FOUR_NUMBERS.fullmatch(host):
        return _ip(host) is not None
    try:
        host.encode("idna")  # as a socket does: no empty label, none above 63 characters
    except UnicodeError:
        return False
    return not host.isascii() or _NAME.fullmatch(host) is not None


def is_this_machine(host: str) -> bool:
    """Whether the host can only be this machine: `localhost`, 127.0.0.0/8, `::1`, and the unspecified address."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _ip(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and (address.is_loopback or address.is_unspecified)


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
