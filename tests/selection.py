"""Select the cases that `make test` runs; `make proof` runs the others."""

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
    """Run the first `count` cases in `make test`. For cases of one kind, in `parametrize`."""
    return [case if number < count else in_proof(case) for number, case in enumerate(cases)]


def some(cases: Iterable[Any], *chosen: Any) -> Cases:
    """Run the `chosen` cases in `make test`."""
    cases = list(cases)
    assert all(case in cases for case in chosen)
    return [case if case in chosen else in_proof(case) for case in cases]


def in_proof(case: Any) -> Any:
    """A case that only `make proof` runs; a tuple is a case of several arguments."""
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.proof)


def examples(count: int, *, share: int = 12) -> settings:
    """Settings for hypothesis: `count` examples in `make proof`, a `share`-th of them (at least 10) in `make test`, always the same."""
    return settings(
        max_examples=count if THOROUGH else max(10, count // share), deadline=None, derandomize=True
    )
