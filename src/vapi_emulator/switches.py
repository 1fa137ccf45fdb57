"""Every switch of the emulator, in one frozen object.

The published contract leaves questions open (what does `limit=0` do, does expiry move `updatedAt`, …). An exporter has
to be right either way, so each open question is a switch here, and the default is the likeliest answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from vapi_emulator import EmulatorError

DEFAULT_KEY: Final = "emulator-key"
DEFAULT_ORG: Final = "0e111a70-0000-4000-8000-000000000001"

LimitZero = Literal["empty", "default", "reject"]
PastEnd = Literal["empty", "reject"]
Expiry = Literal["none", "status", "status+updatedAt"]
ExpiresAfter = Literal["creation", "inactivity"]
RetentionStyle = Literal["none", "400", "flag", "silent"]
UnknownParameters = Literal["reject", "ignore"]
Ties = Literal["stable", "shuffled"]
NameFilter = Literal["session", "customer", "either"]
FaultKind = Literal["429", "500", "502", "cut", "hang", "reset", "html", "empty", "garbage", "cdn403"]

FAULT_KINDS: Final[tuple[str, ...]] = get_args(FaultKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSettings:
    """What goes wrong, and how often. All probabilities are per request; `seed` makes the sequence repeatable."""

    latency_seconds: float = 0.0
    #: Requests per second and organisation; more are answered 429.
    rate_limit: int | None = None
    #: Requests per organisation and UTC minute, as the source counts them; more are answered 429 until the next minute.
    rate_limit_per_minute: int | None = None
    #: How long everything is refused once the rate limit was exceeded (21 s were recorded at the source).
    lockout_seconds: float = 0.0
    #: Whether a 429 says in `Retry-After` when to come back; the recorded one did not.
    retry_after: bool = False
    probabilities: Mapping[str, float] = field(default_factory=dict)
    #: How long a hanging request is held before it is answered 504.
    hang_seconds: float = 120.0
    seed: int = 0

    def __post_init__(self) -> None:
        for kind, probability in self.probabilities.items():
            if kind not in FAULT_KINDS:
                raise EmulatorError(
                    f"Unknown kind of fault: {kind!r}.", f"Choose from: {', '.join(FAULT_KINDS)}."
                )
            if not 0 <= probability <= 1:
                raise EmulatorError(
                    f"The probability of fault {kind} is {probability:g}.", "Choose one from 0 to 1."
                )
        if sum(self.probabilities.values()) > 1:
            raise EmulatorError("The probabilities of the faults sum to more than 1.", "Lower them.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """How this emulator answers, where the contract leaves a choice."""

    #: API key → organisation id.
    keys: Mapping[str, str] = field(default_factory=lambda: {DEFAULT_KEY: DEFAULT_ORG})
    #: Organisations that must pay: every request is answered 402.
    must_pay: frozenset[str] = frozenset()
    limit0: LimitZero = "empty"
    past_end: PastEnd = "empty"
    #: What happens to an active session when its `expirationSeconds` have passed.
    expiry: Expiry = "none"
    #: Whether they are counted from the creation or from the last change; the documentation says both.
    expires_after: ExpiresAfter = "creation"
    #: Whether filling in a pending cost counts as a change of the session.
    late_cost_moves_updated_at: bool = True
    retention_days: float | None = None
    retention_style: RetentionStyle = "silent"
    unknown_parameters: UnknownParameters = "reject"
    ties: Ties = "stable"
    #: What `name` filters on; the contract declares it twice.
    name_filter: NameFilter = "session"
    #: The most rows a page ever holds, whatever `limit` asked for.
    page_cap: int | None = None
    #: `totalPages`, `hasNextPage`, `nextCursor`, `sortOrder` and the echoed bounds in the list's metadata.
    optional_metadata: bool = False
    #: Whether the store keeps microseconds behind the milliseconds that it shows.
    sub_millisecond: bool = True
    #: How long a write stays invisible to reads, with the timestamp it was given at the start.
    commit_delay_seconds: float = 0.0
    #: Added to the `Date` header only.
    clock_skew_seconds: float = 0.0
    #: A cache in between: an answer is repeated for this long, with an `Age` header.
    stale_cache_seconds: float = 0.0
    #: List parameters that are accepted and then not obeyed, as a faulty proxy would.
    ignored_parameters: frozenset[str] = frozenset()
    #: Whether message texts over 10,000 characters are refused; the contract says so, real conversations exceed it.
    content_limit: bool = False
    #: Whether the default `User-Agent` of a client library gets the CDN's 403.
    refuse_default_user_agents: bool = False
    gzip: bool = False
    faults: FaultSettings = field(default_factory=FaultSettings)

    @property
    def retention_us(self) -> int | None:
        """How far back the list reaches, in microseconds; None: without end."""
        if self.retention_days is None or self.retention_style == "none":
            return None
        return int(self.retention_days * 86_400_000_000)
