"""The error of the simulation."""

from __future__ import annotations


class Violation(AssertionError):  # noqa: N818  # the word that reports use
    """An invariant does not hold. `name` is the invariant."""

    def __init__(self, name: str, details: str = "") -> None:
        super().__init__(f"{name}: {details}" if details else name)
        self.name = name
