"""The sessions of a source as its API lists them, and what plain Python reads out of their JSON.

Shares no code with the program: the tests compare what both read out of the same sessions.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, Final

Session = dict[str, Any]
Answer = list[tuple[Any, ...]]

DAY: Final = timedelta(days=1)
KINDS: Final = ("id", "external_id", "number", "email", "sip_uri")
#: An identity that was seen with more identities of one kind than this joins nobody.
MOST_LINKED: Final = 5
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def listed(url: str, key: str) -> list[Session]:
    """All sessions of the source, page by page."""
    sessions: list[Session] = []
    page = 1
    while True:
        request = urllib.request.Request(  # noqa: S310  # the emulator's address
            f"{url}/session?limit=100&sortOrder=ASC&page={page}", headers={"Authorization": f"Bearer {key}"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            found = json.load(response)["results"]
        if not found:
            return sessions
        sessions += found
        page += 1


def moment(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def rounded(value: float | None, digits: int = 6) -> float | None:
    """Half up, as DuckDB rounds positive numbers."""
    return None if value is None else math.floor(value * 10**digits + 0.5) / 10**digits


def total(values: Iterable[float | None]) -> float | None:
    """The rounded sum of what is there; None if nothing is."""
    present = [value for value in values if value is not None]
    return rounded(math.fsum(present)) if present else None


def share(part: float, whole: float) -> float | None:
    """A share with four digits."""
    return rounded(part / whole, 4) if whole else None


def quantile(values: Iterable[float], at: float) -> float:
    """Between the two nearest values, by their distance."""
    ordered = sorted(values)
    place = at * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """95 % of the mean, normal."""
    if len(values) < 2:
        return None, None
    margin = statistics.NormalDist().inv_cdf(0.975) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return mean - margin, mean + margin


def text_of(message: dict[str, Any]) -> str | None:
    """What a message says."""
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if "text" in part)
    for text in (content, message.get("message"), message.get("refusal")):
        if isinstance(text, str):
            return text
    return None


def speaker(message: dict[str, Any]) -> str | None:
    """Who speaks; None for instructions, tools, and an assistant that says nothing."""
    if message.get("role") == "user":
        return "customer"
    if message.get("role") in ("assistant", "bot") and (text_of(message) or "").strip():
        return "assistant"
    return None


def model_of(component: dict[str, Any]) -> tuple[str | None, str | None]:
    """Provider and name of the model of a cost component."""
    model = component.get("model") or {}
    return model.get("provider"), model.get("model")


@dataclass(frozen=True)
class Call:
    """A tool call: function, arguments without white space between tokens, and the answer (None: nobody answered)."""

    function: str
    arguments: str
    answered: bool
    answer: str | None

    @property
    def outcome(self) -> str:
        """answered, failed, empty or unanswered."""
        if not self.answered:
            return "unanswered"
        text = (self.answer or "").strip()
        if re.fullmatch(r"(ok, )?no result returned\.?", text, re.IGNORECASE):
            return "empty"
        if re.match(r'"?error\b', text, re.IGNORECASE):
            return "failed"
        try:
            parsed = json.loads(text)
        except ValueError:
            return "answered"
        return "failed" if isinstance(parsed, dict) and parsed.get("error") else "answered"


def calls_of(session: Session) -> Iterator[Call]:
    """The tool calls of a session, in order. An answer belongs to one call only."""
    messages = session.get("messages") or []
    used: set[int] = set()
    for index, message in enumerate(messages):
        for call in message.get("toolCalls") or message.get("tool_calls") or []:
            arguments = call["function"]["arguments"]
            if isinstance(arguments, str):
                arguments = json.loads(arguments)
            answer = next(
                (
                    at
                    for at, other in enumerate(messages)
                    if at > index
                    and at not in used
                    and other.get("role") in ("tool", "function", "tool_call_result")
                    and call["id"] in (other.get("tool_call_id"), other.get("toolCallId"))
                ),
                None,
            )
            text = None
            if answer is not None:
                used.add(answer)
                text = messages[answer].get("result") or text_of(messages[answer])
            yield Call(
                call["function"]["name"],
                json.dumps(arguments, separators=(",", ":"), ensure_ascii=False),
                answer is not None,
                text,
            )


@dataclass(frozen=True)
class Source:
    """All sessions of the source, and the moment up to which they were read."""

    sessions: list[Session]
    until: datetime
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for session in sorted(self.sessions, key=lambda one: (moment(one["createdAt"]), one["id"])):
            if session.get("assistantId") and self._own_name(session):
                self.names[session["assistantId"]] = str(self._own_name(session))

    @staticmethod
    def _own_name(session: Session) -> str | None:
        parts = (session.get("assistant") or {}, session.get("assistantOverrides") or {})
        return next((str(part["name"]) for part in parts if part.get("name")), None)

    def assistant(self, session: Session) -> tuple[str | None, str | None]:
        """Label and id of the assistant."""
        known = session.get("assistantId")
        return self.names.get(known or "") or self._own_name(session) or known, known

    def outcome(self, session: Session) -> str:
        """completed, expired or open."""
        if session.get("status") == "completed":
            return "completed"
        lifetime = timedelta(seconds=session.get("expirationSeconds", 86_400))
        return "expired" if self.until - moment(session["updatedAt"]) >= lifetime else "open"

    @cached_property
    def components(self) -> list[tuple[date, dict[str, Any]]]:
        """The cost components, with the day of their session."""
        return [
            (moment(session["createdAt"]).date(), component)
            for session in self.sessions
            for component in session.get("costs") or []
        ]

    @cached_property
    def by_assistant(self) -> dict[tuple[str | None, str | None], list[Session]]:
        """The sessions of each assistant."""
        return grouped(self.sessions, self.assistant)

    @cached_property
    def visits(self) -> dict[str, list[Session]]:
        """The sessions of each customer, in order of creation."""
        key = customer_keys(map(identities, self.sessions))
        known = [session for session in self.sessions if identities(session)]
        known.sort(key=lambda one: (moment(one["createdAt"]), one["id"]))
        return grouped(known, lambda session: key(identities(session)))


def grouped(sessions: Iterable[Session], key: Callable[[Session], Any]) -> dict[Any, list[Session]]:
    """Sessions by key."""
    groups: dict[Any, list[Session]] = defaultdict(list)
    for session in sessions:
        groups[key(session)].append(session)
    return groups


def identities(session: Session) -> tuple[str, ...]:
    """By what the customer of a session is known, strongest first."""
    customer = session.get("customer") or {}
    found = {
        "id": session.get("customerId"),
        "external_id": customer.get("externalId"),
        "number": customer.get("number"),
        "email": (customer.get("email") or "").lower(),
        "sip_uri": (customer.get("sipUri") or "").lower(),
    }
    return tuple(f"{kind}:{found[kind].strip()}" for kind in KINDS if (found[kind] or "").strip())


def rank(identity: str) -> tuple[int, str]:
    """Stronger kinds first."""
    return KINDS.index(identity.split(":")[0]), identity


def customer_keys(known: Iterable[tuple[str, ...]]) -> Callable[[tuple[str, ...]], str]:
    """A function that gives the customer of some identities: union-find over what was seen together, without shared ones."""
    together = [names for names in set(known) if names]
    seen_with: dict[str, set[str]] = defaultdict(set)
    for names in together:
        for name in names:
            seen_with[name] |= set(names) - {name}
    shared = {
        name
        for name, others in seen_with.items()
        if max(Counter(other.split(":")[0] for other in others).values(), default=0) > MOST_LINKED
    }
    parents: dict[str, str] = {}

    def find(name: str) -> str:
        while (parent := parents.get(name, name)) != name:
            name = parent
        return name

    for names in together:
        own = [name for name in names if name not in shared]
        for name in own[1:]:
            a, b = sorted((find(own[0]), find(name)), key=rank)
            parents[b] = a  # so that the strongest identity is the root

    def key(names: tuple[str, ...]) -> str:
        return find(next((name for name in names if name not in shared), names[0]))

    return key
