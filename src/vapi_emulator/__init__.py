"""Vapi's Sessions API on this machine: data, latency, rate limits and faults to order.

    command ─▶ server ─▶ api ─▶ parameters, bodies, faults ─▶ store ─▶ rows, settings, times
       │          └────▶ live ─┐                                ▲
       └─▶ generate, load ─────┴─▶ conversations ─▶ talk ─▶ texts, planted

The exporter never imports this package; only the command line and the tests do.
"""

from __future__ import annotations


class EmulatorError(Exception):
    """A setting, a port or a file cannot be used: `fact` says which, `remedy` what to do about it."""

    def __init__(self, fact: str, remedy: str) -> None:
        self.fact, self.remedy = fact, remedy
        super().__init__(f"{fact}\n{remedy}")
