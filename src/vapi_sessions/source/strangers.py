"""Answers that are not the API's own, and who gave them: a proxy, the CDN, a network that wants a sign-in first. Pure.

The API answers in JSON. A web page is never its answer, whatever the status, and says nothing about the key.
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
#: Bytes of a page that are looked at.
_BEGINNING: Final = 20_000

CDN: Final = "the CDN in front of the source (Cloudflare)"
SOMEBODY: Final = "something between here and the source"


@dataclass(frozen=True, slots=True)
class Stranger:
    """Whose answer it is, in words that begin a sentence, and the title of what it says: its own text, not to be trusted."""

    who: str
    title: str

    @property
    def is_cdn(self) -> bool:
        """Whether it is the source's CDN, which no setting here can change."""
        return self.who == CDN


def stranger(headers: Mapping[str, str], content: bytes) -> Stranger | None:
    """Who answered in the API's place; None: it may well be the API. Names of headers are in lower case."""
    beginning = content[:_BEGINNING]
    if cloudflare := _cloudflare_error(headers, beginning):
        return Stranger(CDN, cloudflare)
    if not beginning.strip():
        return None
    if "html" not in headers.get("content-type", "").lower() and not _PAGE.match(beginning):
        return None
    return Stranger(_sender(headers, beginning.lower()), _title(beginning))


def _sender(headers: Mapping[str, str], page: bytes) -> str:
    server = headers.get("server", "").lower()
    if "cf-ray" in headers or "cloudflare" in server or b"cloudflare" in page:
        return CDN
    if "x-squid-error" in headers or "squid" in server or b"squid" in page:
        return "a proxy between here and the source (Squid)"
    if (
        "via" in headers
        or "proxy-authenticate" in headers
        or "proxy-connection" in headers
        or "x-cache" in headers
    ):
        return "a proxy between here and the source"
    return SOMEBODY


def _cloudflare_error(headers: Mapping[str, str], content: bytes) -> str | None:
    """`error code: 1010` in plain text, or the same as JSON (RFC 9457), which it gives to who accepts JSON."""
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
