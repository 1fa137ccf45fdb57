"""What the helpers for decoded JSON change, and that they leave everything else as it was."""

from __future__ import annotations

import json
from typing import Any

from vapi_sessions.privacy.documents import change_names, rewrite


def _short(name: str) -> str:
    return "x" if name.startswith("long") else name


def test_keys_change_and_values_stay() -> None:
    """In their order; an object without such a key is the same object."""
    value = {"a": [1], "long name": {"b": 2}}
    changed = change_names(value, _short)
    assert list(changed.items()) == [("a", [1]), ("x", {"b": 2})]
    assert changed["a"] is value["a"]
    for members in (value["long name"], {}):
        assert change_names(members, _short) is members


def test_keys_that_become_equal_are_numbered() -> None:
    """Neither value is lost, and a key that stays is not touched."""
    for before, after in (
        (b'{"long 1":1,"x":2,"long 2":3}', b'{"x 2":1,"x":2,"x 3":3}'),
        (b'{"long 1":1,"long 2":2,"x 2":0}', b'{"x":1,"x 3":2,"x 2":0}'),
    ):
        assert rewrite(before, lambda v: change_names(v, _short)) == after


def test_members_keep_their_values_when_a_key_changes() -> None:
    """Numbers included, whose text has to survive."""

    def change(value: Any) -> Any:
        return change_names(value, _short)

    body = rewrite(b'{"long":1.50}', change)
    assert body == b'{"x":1.50}'
    assert json.loads(body) == {"x": 1.5}
