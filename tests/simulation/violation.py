"""What the simulation raises."""

from __future__ import annotations


class Violation(AssertionError):  # noqa: N818  # what it is called in the reports
    """An invariant does not hold. `name` says which."""

    def __init__(self, name: str, what: str = "") -> None:
        super().__init__(f"{name}: {what}" if what else name)
        self.name = name
