"""Which way messages take to their columns: what Arrow's reader is given, what it refuses, and that this loses nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vapi_sessions.flatten_messages import _FEW, decode, parse

ORDINARY = b'[{"role":"user","content":"hello"},{"role":"bot","message":"hi","time":1770595260605.5}]'

#: What a column could not hold exactly, or what decoding would hide.
REFUSED = [
    b'[{"role":"user","role":"bot"}]',
    b'[{"role":"user","colour":"red"}]',
    b'[{"role":"user","colour":null}]',
    b'[{"role":7}]',
    b'[{"content":[{"type":"text","text":"x"}]}]',
    b'[{"content":"half \\ud83d"}]',
    b'[{"time":"5"}]',
    b'[{"time":true}]',
    b'[{"secondsFromStart":1e999}]',
    b'[{"tool_calls":{"id":"x"}}]',
    b'[{"tool_calls":[{"function":{"name":"f","strict":true}}]}]',
    b'[[]]',
    b'["hello"]',
    b'{"role":"user"}',
    b'"hello"',
    b"7",
]  # fmt: skip


@pytest.mark.parametrize("raw", REFUSED)
def test_what_would_lose_something_is_refused(raw: bytes) -> None:
    """By Arrow's reader, and it is no obstacle for those beside it, but for the few that are not looked at apart from it."""
    raws = [ORDINARY, b"[]"] * (4 * _FEW)
    at = 3 * _FEW
    raws[at] = raw
    parsed, taken, refused = parse(raws)
    assert at in refused
    assert len(refused) <= _FEW
    assert sorted(taken + refused) == list(range(len(raws)))
    assert [len(own) for own in parsed.lists.to_pylist()] == [
        2 if raws[at] is ORDINARY else 0 for at in taken
    ]


@pytest.mark.parametrize(
    ("raw", "messages"),
    [
        (ORDINARY, 2),
        (b"[]", 0),
        (b"null", 0),
        (json.dumps([{"role": "user", "content": "a\nb"}, {}], indent=2).encode(), 2),
        (b'[{"role":null,"content":"\\u0000 \\ud83d\\ude00 \\"}{ \\\\"}]', 1),
        ('[{"role":"user","content":"¿qué? 配送 👋"}]'.encode(), 1),
    ],
)
def test_what_fits_is_taken_as_it_is(raw: bytes, messages: int) -> None:
    """White space, escapes and other scripts are no oddities."""
    parsed, taken, refused = parse([raw] * 3)
    assert (taken, refused) == ([0, 1, 2], [])
    found = parsed.lists.to_pylist()
    expected: list[dict[str, Any]] = json.loads(raw) or []
    assert [len(own or []) for own in found] == [messages] * 3
    for given, row in zip(expected, found[1] or [], strict=True):
        assert {name: value for name, value in row.items() if value is not None} == {
            name: value for name, value in given.items() if value is not None
        }


def test_one_that_is_refused_costs_its_neighbours_nothing_but_a_second_look() -> None:
    """Of thousands only a handful goes the slower way with it, wherever it stands."""
    raws = [ORDINARY] * 3000
    for at in (0, 1499, 2999):
        raws[at] = REFUSED[0]
    _, taken, refused = parse(raws)
    assert {0, 1499, 2999} <= set(refused)
    assert len(refused) <= 3 * 16
    assert len(taken) + len(refused) == len(raws)


def test_metadata_stays_text_and_goes_by_structs() -> None:
    """Arrow's reader has no type for any JSON; the structs keep its text."""
    raw = b'[{"role":"user","content":"x","metadata":{"n":1.000}}]'
    _, taken, refused = parse([ORDINARY, raw])
    assert (taken, refused) == ([0], [1])
    (message,) = decode(raw) or []
    assert bytes(message.metadata) == b'{"n":1.000}'
