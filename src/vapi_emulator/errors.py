"""The one error of the emulator."""

from __future__ import annotations


class EmulatorError(Exception):
    """A setting, a port or a file cannot be used: `fact` says which, `remedy` what to do about it."""

    def __init__(self, fact: str, remedy: str) -> None:
        self.fact, self.remedy = fact, remedy
        super().__init__(f"{fact}\n{remedy}")
