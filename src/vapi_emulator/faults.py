"""The kinds of faults, and the made-up response of each that has one.

To add a fault, add its kind to `FaultKind` and its response to `REPLIES`; a fault that breaks the connection is a case
in `layers.FaultLayer`. `switches.FaultSettings` says how often faults happen, `injector` to which requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from vapi_emulator import EmulatorError

FaultKind = Literal["429", "500", "502", "cut", "hang", "reset", "html", "empty", "garbage", "cdn403"]
FAULT_KINDS: Final[tuple[str, ...]] = get_args(FaultKind)

_HTML: Final = (
    b"<!DOCTYPE html><html><head><title>%s</title></head><body><h1>%s</h1><hr>cloudflare</body></html>"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `retry_after`: the header of a 429. `keep`: the share of the body sent before a cut."""

    kind: FaultKind
    retry_after: float | None = None
    keep: float = 0.5


@dataclass(frozen=True, slots=True)
class Reply:
    """A made-up response."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


def throttled(retry_after: float | None) -> Reply:
    """The source's 429."""
    headers = {} if retry_after is None else {"retry-after": f"{max(0, retry_after):.0f}"}
    return Reply(
        429, b'{"statusCode":429,"message":"ThrottlerException: Too Many Requests"}', headers=headers
    )


CDN_REFUSAL: Final = Reply(403, b"error code: 1010", "text/plain; charset=UTF-8")
GATEWAY_TIMEOUT: Final = Reply(504, _HTML % (b"504 Gateway Time-out", b"504 Gateway Time-out"), "text/html")

REPLIES: Final[dict[str, Reply]] = {
    "500": Reply(500, b'{"statusCode":500,"message":"Internal server error"}'),
    "502": Reply(502, _HTML % (b"502 Bad Gateway", b"502 Bad Gateway"), "text/html"),
    "html": Reply(200, _HTML % (b"Just a moment...", b"Checking your browser"), "text/html; charset=UTF-8"),
    "empty": Reply(200, b""),
    "garbage": Reply(200, b'{"results":[{"id":"'),
    "cdn403": CDN_REFUSAL,
}


def check_kind(kind: str) -> None:
    """Raise EmulatorError for a kind that does not exist."""
    if kind not in FAULT_KINDS:
        raise EmulatorError(f"Unknown kind of fault: {kind!r}.", f"Choose from: {', '.join(FAULT_KINDS)}.")
