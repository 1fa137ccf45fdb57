"""Responses that a proxy, the CDN or a network's sign-in page sent instead of the API. Pure.

The API responds in JSON. A web page is never its response, whatever the status, and says nothing about the key.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_PAGE: Final = re.compile(rb"\s*(<!doctype html|<html|<head|<\?xml[^>]*>\s*<!doctype html)", re.IGNORECASE)
_TITLE: Final = re.compile(rb"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_HEADING: Final = re.compile(rb"<h[12][^>]*>(.*?)</h[12]", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"<[^>]*>")
#: Bytes of a page that are examined.
_BEGINNING: Final = 20_000

CDN: Final = "the CDN in front of the source (Cloudflare)"
PROXY: Final = "a proxy between this machine and the source"
UNKNOWN: Final = "something between this machine and the source"


@dataclass(frozen=True, slots=True)
class Intermediary:
    """The sender of a response. `title` is its own text, and not to be trusted."""

    name: str
    title: str

    @property
    def is_cdn(self) -> bool:
        """Whether it is the source's CDN, which no local setting can change."""
        return self.name == CDN


def intermediary_of(headers: Mapping[str, str], content: bytes) -> Intermediary | None:
    """The intermediary that sent a response; None if it may be the API. Header names are in lower case."""
    beginning = content[:_BEGINNING]
    if cloudflare := _cloudflare_error(beginning):
        return Intermediary(CDN, cloudflare)
    if not beginning.strip():
        return None
    if "html" not in headers.get("content-type", "").lower() and not _PAGE.match(beginning):
        return None
    return Intermediary(_sender(headers, beginning.lower()), _title(beginning))


def _sender(headers: Mapping[str, str], page: bytes) -> str:
    server = headers.get("server", "").lower()
    if "cf-ray" in headers or "cloudflare" in server or b"cloudflare" in page:
        return CDN
    if "x-squid-error" in headers or "squid" in server or b"squid" in page:
        return f"{PROXY} (Squid)"
    if (
        "via" in headers
        or "proxy-authenticate" in headers
        or "proxy-connection" in headers
        or "x-cache" in headers
    ):
        return PROXY
    return UNKNOWN


def _cloudflare_error(content: bytes) -> str | None:
    """`error code: 1010` as plain text, or the same as JSON (RFC 9457), which clients that accept JSON get."""
    if content.startswith(b"error code:"):
        return content.decode(errors="replace")
    if b'"cloudflare_error"' not in content:
        return None
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return (
        str(said.get("title") or "")
        if isinstance(said, dict) and said.get("cloudflare_error") is True
        else None
    )


def _title(page: bytes) -> str:
    found = _TITLE.search(page) or _HEADING.search(page)
    return html.unescape(_TAG.sub(" ", found[1].decode(errors="replace"))) if found else ""
