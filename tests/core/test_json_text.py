"""The JSON decoder repairs odd JSON and counts the repairs, changes nothing else, and misses nothing."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constants import ORG
from sample_sessions import ORDINARY, SESSIONS, plain_json, session
from selection import examples
from vapi_sessions.core.json_text import MARK, MOST_DEEP, MOST_DIGITS, deeper, normalised
from vapi_sessions.transform.headers import Row, read_session, well_formed

FEW = examples(150)
HALF = "\\ud83d"


def repairs(body: bytes) -> dict[str, int]:
    """The counts of repairs in the repaired body."""
    found: dict[str, int] = json.loads(normalised(body)[0]).get(MARK, {})
    return found


@pytest.mark.parametrize(
    ("text", "after", "counts"),
    [
        ('{"a":1,"b":2,"a":3}', {"a": 3, "b": 2}, {"repeated_names": 1}),
        ('{"a":[{"b":1,"b":2},{"b":1,"\\u0062":2}]}', {"a": [{"b": 2}, {"b": 2}]}, {"repeated_names": 2}),
        ('{"a":{"x":1},"a":null}', {"a": None}, {"repeated_names": 1}),
        (f'{{"a":"x{HALF}","b":"{HALF}\\ude00"}}', {"a": "x\ufffd", "b": "😀"}, {"lone_surrogates": 1}),
        (f'{{"{HALF}":1,"\\ude00":2}}', {"\ufffd": 2}, {"lone_surrogates": 2, "repeated_names": 1}),
        (f'{{"a":"\\\\{HALF[1:]}{HALF}"}}', {"a": "\\ud83d\ufffd"}, {"lone_surrogates": 1}),
        ('{"n":' + "9" * (MOST_DIGITS + 1) + "}", {"n": "9" * (MOST_DIGITS + 1)}, {"long_integers": 1}),
    ],
)  # fmt: skip
def test_odd_json_is_repaired_and_counted(text: str, after: dict[str, Any], counts: dict[str, int]) -> None:
    """A repaired body needs no further repair."""
    body, value = normalised(text.encode())
    assert json.loads(body) == after | {MARK: counts}
    assert json.loads(json.dumps(value, default=lambda raw: json.loads(bytes(raw)))) == json.loads(body)
    assert normalised(body)[0] is body


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('{"b":"]","a":[', "]}")])
@pytest.mark.parametrize("levels", [MOST_DEEP - 1, MOST_DEEP, 900, 3_000, 50_000])
def test_a_value_nested_too_deep_becomes_its_text(opening: str, closing: str, levels: int) -> None:
    """From a fixed level on, without losing a character."""
    levels_each = opening.count("[") + opening.count("{")
    text = opening * levels + ('{"x":1}' if "a" in opening else "") + closing * levels
    body = f'{{"m":{text},"n":[[1.50]]}}'.encode()
    clean, value = normalised(body)
    assert json.loads(clean)["n"] == [[1.5]]
    assert not deeper(value)
    inside = levels * levels_each + ("a" in opening) + 1
    assert repairs(body) == ({} if inside <= MOST_DEEP else {"deep_values": 1})
    if inside > MOST_DEEP:
        found = value["m"]
        while not isinstance(found, str):
            found = found["a"] if isinstance(found, dict) else found[0]
        assert found in text
        assert _brackets(found) == _brackets(text) - (MOST_DEEP - 1)


def _brackets(text: str) -> int:
    return text.count("[") + text.count("{")


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"\\u0000 \\u001f \\/ \\u00e9"}',
        '{"n":-0,"f":-0.0,"e":1E+5,"z":1.500,"big":' + "9" * MOST_DIGITS + ',"inf":1e99999}',
        ' {\n"a" : [ 1 , 2 ] , "b":"x : y" }\t',
        '{"":{"":{}},"a":[],"b":[[]]}',
        '{"a":"\\ud83d\\ude00","b":"😀","c":"\u2028\x7f"}',
        "[1,2]",
        "null",
    ],
)
def test_unusual_but_valid_json_is_unchanged(text: str) -> None:
    """NUL, escapes, white space, and numbers in any form."""
    body = text.encode()
    assert normalised(body)[0] is body
    assert well_formed(body) is body


@pytest.mark.parametrize("text", ["", "{", '{"a":NaN}', '{"a":"\x01"}', "\ufeff{}", "{} {}", '{"a":01}', "[" * 300 + "}" * 300, '{"a":' + "[" * 5_000 + "}"])  # fmt: skip
def test_text_that_is_not_json_is_refused(text: str) -> None:
    """At any depth of nesting."""
    with pytest.raises(ValueError, match=r"."):
        normalised(text.encode())


@pytest.mark.parametrize("member", [5, {"repeated_names": "Ann"}, {"x": 1}, {"repeated_names": 0}, {"repeated_names": True}, {"repeated_names": 15550104477}])  # fmt: skip
def test_a_member_with_the_name_of_the_counts_is_replaced(member: Any) -> None:
    """Counts of earlier repairs are added to the new ones."""
    body = plain_json({MARK: member})[:-1].encode() + b',"a":1,"a":2}'
    assert repairs(body) == {"repeated_names": 2}
    body = plain_json({MARK: {"lone_surrogates": 1, "repeated_names": 4}})[:-1].encode() + b',"a":1,"a":2}'
    assert repairs(body) == {"lone_surrogates": 1, "repeated_names": 5}


def scribbled(value: Any, rng: random.Random, blanks: float, twice: float) -> tuple[str, int]:
    """JSON text of a value with random blanks and repeated members, and the number of repeated members."""

    def blank() -> str:
        return rng.choice([" ", "\n", "\t "]) if rng.random() < blanks else ""

    if isinstance(value, list):
        items = [scribbled(item, rng, blanks, twice) for item in value]
        return "[" + ",".join(blank() + text + blank() for text, _ in items) + "]", sum(n for _, n in items)
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False), 0
    members = [(json.dumps(name), *scribbled(item, rng, blanks, twice)) for name, item in value.items()]
    count = sum(n for _, _, n in members)
    if members and rng.random() < twice:
        name, *_ = rng.choice(members)
        at = next(at for at, member in enumerate(members) if member[0] == name)
        members.insert(rng.randrange(at + 1), (name, rng.choice(["null", '"x"', "{}", "1"]), 0))
        count += 1
    parts = [f"{blank()}{name}{blank()}:{blank()}{text}{blank()}" for name, text, _ in members]
    return "{" + ",".join(parts) + "}", count


@FEW
@given(
    st.one_of(ORDINARY.map(lambda fields: session(**fields)), SESSIONS),
    st.integers(),
    st.sampled_from([0, 0.05, 0.3]),
)
def test_every_repeated_name_is_found(body: dict[str, Any], seed: int, twice: float) -> None:
    """At any place, with any white space. The value is that of other parsers."""
    rng = random.Random(seed)
    # Often without blanks, because blanks alone make the decoder look closer.
    body = {k: v for k, v in json.loads(normalised(json.dumps(body).encode())[0]).items() if k != MARK}
    text, count = scribbled(body, rng, rng.choice([0, 0, 0.01, 0.3]), twice)
    clean = well_formed(text.encode())
    assert json.loads(clean).get(MARK, {}).get("repeated_names", 0) == count
    assert (clean == text.encode()) == (count == 0)
    assert {k: v for k, v in json.loads(clean).items() if k != MARK} == json.loads(text)


@FEW
@given(SESSIONS, st.booleans())
def test_the_fast_check_finds_what_the_full_check_finds(body: dict[str, Any], spaced: bool) -> None:
    """The fast one is for sessions with the usual members."""
    text = (json.dumps(body) if spaced else plain_json(body)).encode()
    assert well_formed(text) == normalised(text)[0]


@pytest.mark.parametrize("place", ["content", "message", "role", "metadata", "tool_calls", "result"])
@pytest.mark.parametrize("value", ['{"a":1,"a":2}', '[{"a":1,"a":2}]', f'["{HALF}"]', "[" * 200 + "]" * 200, "9" * 5_000])  # fmt: skip
def test_odd_json_is_found_in_members_that_the_fast_check_skips(place: str, value: str) -> None:
    """Above all in the texts of messages."""
    ids = f'"id":"a","orgId":"{ORG}","createdAt":"2026-03-01T00:00:00.000Z","updatedAt":"2026-03-01T00:00:00.000Z"'
    body = f'{{{ids},"messages":[{{"role":"user"}},{{"{place}":{value}}}]}}'.encode()
    row = read_session(body)
    assert isinstance(row, Row)
    assert row.body == normalised(body)[0] != body
