"""Names and paths of the user's own are redacted as well."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaction_cases import CANARY, compact
from selection import examples
from vapi_sessions.core.json_text import normalised
from vapi_sessions.privacy.redaction import Extra, redact_page
from vapi_sessions.privacy.redaction_text import REDACTED


def test_own_names_and_paths_are_redacted() -> None:
    """Names in any spelling and inside JSON strings; paths through arrays and any name; nothing else."""
    body = compact(
        {
            "memberNumber": "a",
            "messages": [{"content": "b", "metadata": {"card": {"x": 1}, "y": "z"}}],
            "metadata": {"p": {"pin": 1}, "pin": 2, "member_number": ["c", None]},
            "arguments": '{"MEMBER-NUMBER":"d"}',
            "content": "e",
        }
    )
    extra = Extra.of(["member number"], ["$.messages[*].content", "messages.metadata.card", "metadata.*.pin"])
    assert json.loads(redact_page([body, b"{}"], extra)[0]) == {
        "memberNumber": REDACTED,
        "messages": [{"content": REDACTED, "metadata": {"card": {"x": REDACTED}, "y": "z"}}],
        "metadata": {"p": {"pin": REDACTED}, "pin": 2, "member_number": [REDACTED, None]},
        "arguments": f'{{"MEMBER-NUMBER":"{REDACTED}"}}',
        "content": "e",
    }
    plain = b'{"pin":1}'
    assert redact_page([plain], extra)[0] is plain


#: A name or path of the user, and a body that spells it differently.
SPELLINGS = [
    ("card number", "", '{"card__number":"c4n4ry"}'),
    ("card number", "", '{"_cardNumber":"c4n4ry"}'),
    ("card number", "", '{"card - number ":"c4n4ry"}'),
    ("a/b", "", r'{"x":"{\"A\\\/B\":\"c4n4ry\"}"}'),
    ('a"b', "", r'{"x":"{\"a\\\"b\":\"c4n4ry\"}"}'),
    ("паспорт", "", '{"ПАСПОРТ":"c4n4ry"}'),
    ("паспорт", "", r'{"\u043f\u0430\u0441\u043f\u043e\u0440\u0442":"c4n4ry"}'),
    ("паспорт", "", r'{"x":"{\"\\u041f\\u0430с\\u043F\\u043e\\u0440\\u0442\":\"c4n4ry\"}"}'),
    ("", "x.паспорт", r'{"x":{"\u043f\u0430\u0441\u043f\u043e\u0440\u0442":"c4n4ry"}}'),
    ("", "x.a/\tb", r'{"x":{"a\/\tb":"c4n4ry"}}'),
    ("\U0001f511", "", r'{"\ud83d\uDD11":"c4n4ry"}'),
    ("\ud83d", "", r'{"\ud83d":"c4n4ry"}'),
    ("İd", "", '{"İd":"c4n4ry"}'),
    ("İd", "", r'{"\u0130D":"c4n4ry"}'),
    ("İd", "", '{"I_\u0307d":"c4n4ry"}'),
    ("kind", "", '{"\u212aind":"c4n4ry"}'),
    ("kind", "", r'{"\u212aind":"c4n4ry"}'),
]


@pytest.mark.parametrize(("name", "path", "body"), SPELLINGS)
def test_own_names_are_found_in_any_spelling(name: str, path: str, body: str) -> None:
    """With separators anywhere, escapes, and letters that change in lower case."""
    extra = Extra.of([name] if name else [], [path] if path else [])
    (clean,) = redact_page([body.encode()], extra)
    assert CANARY.encode() not in clean
    assert extra.suspect


def test_the_scan_for_names_handles_the_case_of_every_letter() -> None:
    """One letter becomes two in lower case, one becomes ASCII; RE2 ignores the case of all others."""
    lower = {c: c.lower() for c in map(chr, range(sys.maxunicode + 1)) if c.lower() != c}
    assert [c for c, small in lower.items() if len(small) > 1] == ["İ"]
    assert [c for c, small in lower.items() if small.isascii() and not c.isascii()] == ["\u212a"]
    for letter, small in lower.items():
        if letter != "İ":
            assert pc.match_substring_regex(pa.array([letter]), f"(?i)^{re.escape(small)}$")[0].as_py(), (
                letter
            )


def test_too_many_names_for_one_expression_are_found() -> None:
    """Every body is examined then."""
    extra = Extra.of([f"a field of ours, number {n}" for n in range(10_000)], [])
    plain, named = b'{"a": "b"}', b'{"aFieldOfOurs,Number9999":"c4n4ry"}'
    clean = redact_page([plain, named], extra)
    assert clean[0] is plain
    assert CANARY.encode() not in clean[1]


@pytest.mark.parametrize("path", ["", "a..b", "$", "a['b']", "a[x]"])
def test_an_invalid_path_is_refused(path: str) -> None:
    """Instead of never matching."""
    with pytest.raises(ValueError, match="is not a path"):
        Extra.of([], [path])


OWN_NAMES = st.lists(
    st.sampled_from([*'abkis/"\\-_. \t\x01İıſÅåßẞΣσςпПé', "i\u0307", "\u212a", "\u212b", "\U0001f511", "\ufffd"]), max_size=4
).map("".join)  # fmt: skip


@examples(200)
@given(OWN_NAMES, st.data(), st.booleans(), st.booleans(), st.integers(0, 2))
def test_the_scan_for_names_suspects_everything_that_the_walk_would_change(
    name: str, data: st.DataObject, ascii_only: bool, escaped: bool, depth: int
) -> None:
    """For any name in any spelling and with any escapes, also in JSON inside JSON."""
    blanks = st.text("-_. ", max_size=2)
    cases = st.sampled_from([str.upper, str.title, str.lower, str])
    key = data.draw(blanks) + "".join(data.draw(cases)(c) + data.draw(blanks) for c in name)
    value: Any = {key: CANARY}
    for _ in range(depth):
        value = {"x": json.dumps(value, ensure_ascii=ascii_only)}
    body = json.dumps(value, ensure_ascii=ascii_only)
    body = body.replace("/", "\\/") if escaped else body
    for extra in (Extra.of([name], []), Extra(paths=((key,),))):
        assert json.loads(redact_page([body.encode()], extra)[0]) == extra.redact(json.loads(body))


def test_an_own_name_with_a_lone_surrogate_is_found() -> None:
    """Sessions have U+FFFD instead of it."""
    body, _ = normalised(json.dumps({"a\udcff": CANARY}).encode())
    for extra in (Extra.of(["a\udcff"], []), Extra.of([], ["a\udcff"])):
        assert CANARY.encode() not in redact_page([body], extra)[0]
