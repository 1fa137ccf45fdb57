"""The record of one run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from vapi_sessions.operations.progress import Silent


@dataclass(slots=True)
class RunRecord:
    """One run, seen from outside. Times are true time, µs."""

    command: str
    started: int
    ended: int = 0
    error: BaseException | None = None
    result: Any = None
    requests: int = 0
    #: Answers with a fault.
    faulty: int = 0
    #: Answers that said falsely that there is no session.
    denied: int = 0
    #: The fault that the next request gets again.
    again: str = ""
    #: The latest bound that the clocks allowed this run to claim, µs.
    bound: int | None = None
    #: Answers with rows of one instant only: reading a block of ties takes more requests.
    tied: int = 0
    #: Ids of the sessions listed when the run started.
    listed: set[str] = field(default_factory=set)
    #: Whether it published a snapshot since its last request.
    published: bool = False

    @property
    def succeeded(self) -> bool:
        """Exit code 0."""
        return self.error is None


class Recoveries(Silent):
    """Counts the recoveries that the engine reports in its messages."""

    _MESSAGES: Final = {
        "merged": "recovered raw files",
        "resuming": "resumed windows",
        "shows no session": "empty organisation",
        "could not be kept": "could not keep what had arrived",
        "kept aside": "kept aside",
    }

    def __init__(self, fired: Counter[str]) -> None:
        self._fired = fired

    def say(self, text: str) -> None:
        """Count one message."""
        for part, name in self._MESSAGES.items():
            if part in text:
                self._fired[f"recovery: {name}"] += 1

    def warn(self, text: str) -> None:
        """Count one warning."""
        self.say(text)
