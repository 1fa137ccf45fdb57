"""The one decoder: what is odd about JSON is put right and counted, nothing else is touched, and no oddity is missed."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import ORG
from sample_sessions import ORDINARY, SESSIONS, plain_json, session
from selection import examples
from vapi_sessions.core.json_text import MARK, MOST_DEEP, MOST_DIGITS, deeper, normalised
from vapi_sessions.transform.headers import Row, read_session, well_formed

FEW = examples(150)
HALF = "\\ud83d"


def told(body: bytes) -> dict[str, int]:
    """What was put right in a body, as it says itself."""
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
def test_what_is_odd_is_put_right(text: str, after: dict[str, Any], counts: dict[str, int]) -> None:
    """And counted; once more, there is nothing left to do."""
    body, value = normalised(text.encode())
    assert json.loads(body) == after | {MARK: counts}
    assert json.loads(json.dumps(value, default=lambda raw: json.loads(bytes(raw)))) == json.loads(body)
    assert normalised(body)[0] is body


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('{"b":"]","a":[', "]}")])
@pytest.mark.parametrize("levels", [MOST_DEEP - 1, MOST_DEEP, 900, 3_000, 50_000])
def test_what_is_too_deep_becomes_its_text(opening: str, closing: str, levels: int) -> None:
    """From a fixed level on, with not a character lost, whatever this interpreter could take."""
    step = opening.count("[") + opening.count("{")
    text = opening * levels + ('{"x":1}' if "a" in opening else "") + closing * levels
    body = f'{{"m":{text},"n":[[1.50]]}}'.encode()
    clean, value = normalised(body)
    assert json.loads(clean)["n"] == [[1.5]]
    assert not deeper(value)
    inside = levels * step + ("a" in opening) + 1
    assert told(body) == ({} if inside <= MOST_DEEP else {"deep_values": 1})
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
def test_what_is_merely_unusual_is_the_same_object(text: str) -> None:
    """NUL, escapes, white space, numbers of any form."""
    body = text.encode()
    assert normalised(body)[0] is body
    assert well_formed(body) is body


@pytest.mark.parametrize("text", ["", "{", '{"a":NaN}', '{"a":"\x01"}', "\ufeff{}", "{} {}", '{"a":01}', "[" * 300 + "}" * 300, '{"a":' + "[" * 5_000 + "}"])  # fmt: skip
def test_what_is_not_json_is_refused(text: str) -> None:
    """However deep."""
    with pytest.raises(ValueError, match=r"."):
        normalised(text.encode())


@pytest.mark.parametrize("mark", [5, {"repeated_names": "Ann"}, {"x": 1}, {"repeated_names": 0}, {"repeated_names": True}, {"repeated_names": 15550104477}])  # fmt: skip
def test_what_only_looks_like_the_mark_gives_way(mark: Any) -> None:
    """Where there is something to tell; a mark of before is added to."""
    body = plain_json({MARK: mark})[:-1].encode() + b',"a":1,"a":2}'
    assert told(body) == {"repeated_names": 2}
    body = plain_json({MARK: {"lone_surrogates": 1, "repeated_names": 4}})[:-1].encode() + b',"a":1,"a":2}'
    assert told(body) == {"lone_surrogates": 1, "repeated_names": 5}


def scribbled(value: Any, rng: random.Random, blanks: float, twice: float) -> tuple[str, int]:
    """JSON text of a value with blanks at such a share of places, and here and there a member twice; how many are."""

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
def test_no_repeated_name_is_missed(body: dict[str, Any], seed: int, twice: float) -> None:
    """Wherever it stands, whatever white space is there; the value is that of any other parser."""
    rng = random.Random(seed)
    # Few blanks: that they were many must not be what gives a repeated name away.
    body = {k: v for k, v in json.loads(normalised(json.dumps(body).encode())[0]).items() if k != MARK}
    text, count = scribbled(body, rng, rng.choice([0, 0, 0.01, 0.3]), twice)
    clean = well_formed(text.encode())
    assert json.loads(clean).get(MARK, {}).get("repeated_names", 0) == count
    assert (clean == text.encode()) == (count == 0)
    assert {k: v for k, v in json.loads(clean).items() if k != MARK} == json.loads(text)


@FEW
@given(SESSIONS, st.booleans())
def test_both_looks_see_the_same(body: dict[str, Any], spaced: bool) -> None:
    """The quick one, for sessions of the usual members, misses nothing that the other one finds."""
    text = (json.dumps(body) if spaced else plain_json(body)).encode()
    assert well_formed(text) == normalised(text)[0]


@pytest.mark.parametrize("place", ["content", "message", "role", "metadata", "tool_calls", "result"])
@pytest.mark.parametrize("value", ['{"a":1,"a":2}', '[{"a":1,"a":2}]', f'["{HALF}"]', "[" * 200 + "]" * 200, "9" * 5_000])  # fmt: skip
def test_nothing_hides_in_what_the_quick_look_does_not_decode(place: str, value: str) -> None:
    """The texts of messages, above all."""
    ids = f'"id":"a","orgId":"{ORG}","createdAt":"2026-03-01T00:00:00.000Z","updatedAt":"2026-03-01T00:00:00.000Z"'
    body = f'{{{ids},"messages":[{{"role":"user"}},{{"{place}":{value}}}]}}'.encode()
    row = read_session(body)
    assert isinstance(row, Row)
    assert row.body == normalised(body)[0] != body
