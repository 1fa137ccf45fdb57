"""The settings of the emulator, in one frozen object.

The published contract leaves questions open, such as the response to `limit=0` and whether expiry moves `updatedAt`. An
exporter must be right in every case, so each open question is a switch, and the default is the likeliest answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from vapi_emulator import EmulatorError
from vapi_emulator.faults import check_kind

DEFAULT_KEY: Final = "emulator-key"
DEFAULT_ORG: Final = "0e111a70-0000-4000-8000-000000000001"
DEFAULT_SESSIONS: Final = 2_000

LimitZero = Literal["empty", "default", "reject"]
PastEnd = Literal["empty", "reject"]
Expiry = Literal["none", "status", "status+updatedAt"]
ExpiresAfter = Literal["creation", "inactivity"]
RetentionStyle = Literal["none", "400", "flag", "silent"]
UnknownParameters = Literal["reject", "ignore"]
Ties = Literal["stable", "shuffled"]
NameFilter = Literal["session", "customer", "either"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSettings:
    """How often faults happen. Probabilities are per request; `seed` makes the sequence repeatable."""

    latency_seconds: float = 0.0
    #: Requests per second and organisation; more get a 429.
    rate_limit: int | None = None
    #: Requests per organisation and UTC minute, as the source counts them; more get a 429 until the next minute.
    rate_limit_per_minute: int | None = None
    #: How long all requests get a 429 once the rate limit was exceeded (at the source: 21 s).
    lockout_seconds: float = 0.0
    #: Whether a 429 has a `Retry-After` header. At the source it has none.
    retry_after: bool = False
    probabilities: Mapping[str, float] = field(default_factory=dict)
    #: How long a hanging request waits before it gets a 504.
    hang_seconds: float = 120.0
    seed: int = 0

    def __post_init__(self) -> None:
        for kind, probability in self.probabilities.items():
            check_kind(kind)
            if not 0 <= probability <= 1:
                raise EmulatorError(
                    f"The probability of fault {kind} is {probability:g}.", "Choose one from 0 to 1."
                )
        if sum(self.probabilities.values()) > 1:
            raise EmulatorError("The probabilities of all faults add up to more than 1.", "Lower them.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """How the emulator responds where the contract leaves a choice."""

    #: API key → organisation id.
    keys: Mapping[str, str] = field(default_factory=lambda: {DEFAULT_KEY: DEFAULT_ORG})
    #: Organisations whose requests all get a 402.
    must_pay: frozenset[str] = frozenset()
    limit0: LimitZero = "empty"
    past_end: PastEnd = "empty"
    #: What happens to an active session when its `expirationSeconds` have passed.
    expiry: Expiry = "none"
    #: Whether they count from the creation or from the last change; the documentation says both.
    expires_after: ExpiresAfter = "creation"
    #: Whether adding a pending cost moves `updatedAt`.
    late_cost_moves_updated_at: bool = True
    retention_days: float | None = None
    retention_style: RetentionStyle = "silent"
    unknown_parameters: UnknownParameters = "reject"
    ties: Ties = "stable"
    #: The field that the parameter `name` filters; the contract declares the parameter twice.
    name_filter: NameFilter = "session"
    #: The most rows of a page, even if `limit` is larger.
    page_cap: int | None = None
    #: Whether the metadata include `totalPages`, `hasNextPage`, `nextCursor`, `sortOrder` and the bounds.
    optional_metadata: bool = False
    #: Whether the store keeps microseconds, although responses show milliseconds.
    sub_millisecond: bool = True
    #: How long a write stays invisible to reads; its timestamp is that of the write.
    commit_delay_seconds: float = 0.0
    #: Added to the `Date` header only.
    clock_skew_seconds: float = 0.0
    #: How long a cache repeats a response, with an `Age` header.
    stale_cache_seconds: float = 0.0
    #: List parameters that are accepted but not applied, as by a faulty proxy.
    ignored_parameters: frozenset[str] = frozenset()
    #: Whether messages of more than 10,000 characters are refused. The contract says so; real conversations exceed it.
    content_limit: bool = False
    #: Whether the default `User-Agent` of a client library gets the CDN's 403.
    refuse_default_user_agents: bool = False
    gzip: bool = False
    faults: FaultSettings = field(default_factory=FaultSettings)

    @property
    def retention_us(self) -> int | None:
        """How far back the list reaches, in microseconds; None: unlimited."""
        if self.retention_days is None or self.retention_style == "none":
            return None
        return int(self.retention_days * 86_400_000_000)
