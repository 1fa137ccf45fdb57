"""An emulator of Vapi's Sessions API, with configurable data, latency, rate limits and faults.

    command ─▶ foreground ─▶ server ─▶ api ─▶ layers, parameters, bodies ─▶ state ─▶ injector ─▶ switches ─▶ faults
                   │            └────▶ live ─┐                                └────▶ store ─▶ listing, tables, stored
                   └─▶ generate, jsonl ──────┴─▶ conversations ─▶ talk ─▶ texts, planted

Only the command line and the tests import this package.
"""

from __future__ import annotations


class EmulatorError(Exception):
    """A setting, a port or a file cannot be used. `fact` gives the reason, `remedy` what to do."""

    def __init__(self, fact: str, remedy: str) -> None:
        self.fact, self.remedy = fact, remedy
        super().__init__(f"{fact}\n{remedy}")
