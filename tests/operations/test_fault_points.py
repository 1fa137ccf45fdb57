"""The fault points: declared where they are reached, covered by a test, and checked by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fault_cases import FORGET, MAINTAIN, MIGRATE, RUNS, TAKE_OVER, TIGHTEN

import vapi_sessions
from vapi_sessions.core import faultpoints
from vapi_sessions.errors import ConfigurationError


def test_declared_points_and_points_in_the_source_are_the_same() -> None:
    """None is forgotten on either side."""
    package = Path(vapi_sessions.__file__).parent
    used = [
        name
        for path in package.rglob("*.py")
        if path.name != "faultpoints.py"
        for name in re.findall(r'faultpoints\.reach\(\s*"([^"]*)"', path.read_text("utf-8"))
    ]
    assert sorted(used) == sorted(faultpoints.POINTS)
    calls = sum(path.read_text("utf-8").count("faultpoints.reach(") for path in package.rglob("*.py"))
    assert calls == len(used)


def test_a_test_kills_at_every_point() -> None:
    """A run, a forget, a merge of small files, a rewrite under a stricter policy, or a take-over."""
    cases = [
        *(point for _, point in RUNS),
        *FORGET,
        *MAINTAIN,
        *TIGHTEN,
        *TAKE_OVER,
        *MIGRATE,
    ]
    assert {point.partition(":")[0] for point in cases} == set(faultpoints.POINTS)


def test_an_undeclared_point_is_an_error() -> None:
    """A new call without its declaration fails in the first test that reaches it."""
    with pytest.raises(ValueError, match=r"nowhere.at_all is not declared"):
        faultpoints.reach("nowhere.at_all")


@pytest.mark.parametrize("text", ["nowhere.at_all", "raw.written:0", "raw.written:x", "raw.written=gone"])
def test_an_unknown_fault_point_is_refused(text: str) -> None:
    """A test that misspells its point must not pass because nothing happens."""
    with pytest.raises(ConfigurationError, match="names no fault point"):
        faultpoints.arm(text)
