"""Which of many cases `make test` tries; `make proof` tries the others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

import pytest
from hypothesis import settings

#: Set by `make proof`.
THOROUGH: Final = bool(os.environ.get("THOROUGH"))

Cases = list[Any]


def first(cases: Iterable[Any], count: int = 1) -> Cases:
    """The first so many here, the rest in the proof. For `parametrize`, where the cases differ in degree and not in kind."""
    return [case if number < count else in_proof(case) for number, case in enumerate(cases)]


def some(cases: Iterable[Any], *chosen: Any) -> Cases:
    """Those `chosen` here, the rest in the proof."""
    cases = list(cases)
    assert all(case in cases for case in chosen)
    return [case if case in chosen else in_proof(case) for case in cases]


def in_proof(case: Any) -> Any:
    """One for the proof; a tuple is a case of several arguments."""
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.proof)


def examples(count: int, *, share: int = 4) -> settings:
    """So many examples of what hypothesis makes up, always the same ones; but for the proof, one in `share` of them."""
    return settings(
        max_examples=count if THOROUGH else max(10, count // share), deadline=None, derandomize=True
    )
