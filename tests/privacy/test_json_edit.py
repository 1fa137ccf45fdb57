"""Changing decoded JSON leaves everything else unchanged."""

from __future__ import annotations

import json
from typing import Any

from vapi_sessions.privacy.json_edit import change_names, rewrite


def _short(name: str) -> str:
    return "x" if name.startswith("long") else name


def test_changing_names_keeps_values_and_order() -> None:
    """If no name changes, the same object is returned."""
    value = {"a": [1], "long name": {"b": 2}}
    changed = change_names(value, _short)
    assert list(changed.items()) == [("a", [1]), ("x", {"b": 2})]
    assert changed["a"] is value["a"]
    for members in (value["long name"], {}):
        assert change_names(members, _short) is members


def test_names_that_become_equal_are_numbered() -> None:
    """No value is lost, and unchanged names stay."""
    for before, after in (
        (b'{"long 1":1,"x":2,"long 2":3}', b'{"x 2":1,"x":2,"x 3":3}'),
        (b'{"long 1":1,"long 2":2,"x 2":0}', b'{"x":1,"x 3":2,"x 2":0}'),
    ):
        assert rewrite(before, lambda v: change_names(v, _short)) == after


def test_numbers_keep_their_text_when_a_name_changes() -> None:
    """To the last digit."""

    def change(value: Any) -> Any:
        return change_names(value, _short)

    body = rewrite(b'{"long":1.50}', change)
    assert body == b'{"x":1.50}'
    assert json.loads(body) == {"x": 1.5}
