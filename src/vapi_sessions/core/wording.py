"""Wording that messages share."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 session`, `2 sessions`, `1,000 files`. `plural`: for a noun that does not take an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
