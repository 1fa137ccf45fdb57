"""Redaction of any JSON: the scan suspects everything that the walk would change, and nothing else is changed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaction_cases import CANARY, PLAIN_NAMES, SECRET_NAMES, page
from selection import examples, first
from vapi_sessions.privacy.patterns import SHAPES
from vapi_sessions.privacy.redaction import redact, redact_page
from vapi_sessions.privacy.redaction_text import REDACTED, redact_text

FEW = examples(200)


@pytest.mark.parametrize(
    "run",
    first(
        [
            "A%",
            "?",
            "&code=",
            "&state=",
            "sip:",
            "://",
            "?a=apikey",
            "token=",
            "token='",
            "is ",
            "Bearer a",
            "eyJ-",
            "eyJ-a.",
            "-----BEGIN PRIVATE KEY-----",
            "%3a%2f%2f",
            '"',
            "\\",
        ],
        1,
    ),
)
def test_redaction_of_long_texts_takes_linear_time(run: str) -> None:
    """Half a million characters of what an expression searches for take less than two seconds."""
    begin = time.process_time()
    redact_text(run * (500_000 // len(run)) + "@=%")
    assert time.process_time() - begin < 2


TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "https://u:p@h/",
            "?token=",
            "&sig=a",
            "a=b",
            '{"apiKey":"a"}',
            "[1]",
            '{"secret":{"a":"\\u0041"}}',
            "api key is 12ab34cd",
            "Bearer abcdefg1",
            '{"token":"a',
            "sk-abcdefghijklmnopqrstuv",
            '"token"',
            "\\",
        ]
    ),
    st.text(':/@?&#;="\\%aA.-_ \n\t{}[]', max_size=8),
)
NAMES = st.one_of(
    st.sampled_from([*PLAIN_NAMES, *SECRET_NAMES, "headers", "credentials", "environmentVariables"]), TEXTS
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    embedded = inner.map(json.dumps)
    return st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4), embedded)


TREES = st.recursive(LEAVES, containers, max_leaves=12)
#: Values without secrets.
HARMLESS_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters='@=%{["'), max_size=8)
HARMLESS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), HARMLESS_TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([n for n in PLAIN_NAMES if n != "parameters"]), inner),
    ),
    max_leaves=8,
)


@FEW
@given(st.lists(TREES, max_size=4), st.booleans(), st.booleans())
def test_the_scan_suspects_everything_that_the_walk_would_change(
    trees: list[Any], ascii_only: bool, spaced: bool
) -> None:
    """So the result always equals that of the walk."""
    separators = (", ", ": ") if spaced else (",", ":")
    bodies = [
        json.dumps(tree, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "replace")
        for tree in trees
    ]
    for body, clean in zip(bodies, redact_page(bodies), strict=True):
        value = json.loads(body)
        assert json.loads(clean) == redact(value)


@pytest.mark.parametrize("shape", first(SHAPES, 12))
@examples(30)
@given(data=st.data(), escaped=st.booleans(), depth=st.integers(0, 2))
def test_shapes_of_secrets_are_found_with_any_json_escapes(
    shape: str, data: st.DataObject, escaped: bool, depth: int
) -> None:
    """Plain, with escaped slashes as in PHP, and in JSON inside JSON."""
    body = f"use {data.draw(st.from_regex(shape.replace('2000', '9'), fullmatch=True))} today"
    for _ in range(depth + 1):
        body = json.dumps([body])
        body = body.replace("/", "\\/") if escaped else body
    assert redact_page([body.encode()])[0] != body.encode()


@pytest.mark.parametrize(
    "text",
    [
        "ſip:bob:hunter2@h",
        "https://h/?ſig=abc123",
        "https://hookſ.slack.com/services/T1/B2/x3y4",
        "https://dİscord.com/api/webhooks/1/x3y4",
        "no basic: Basıc abc123def456",
    ],
)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_scan_and_walk_agree_about_letters_that_look_like_ascii(text: str, ascii_only: bool) -> None:
    """Otherwise the result for a text would depend on the other texts of its session."""
    body = json.dumps({"a": text}, ensure_ascii=ascii_only).encode()
    assert json.loads(redact_page([body])[0]) == redact({"a": text})


@FEW
@given(st.lists(TREES, max_size=4))
def test_redaction_is_idempotent(trees: list[Any]) -> None:
    """A second pass returns the same objects."""
    once = redact_page([json.dumps(tree).encode() for tree in trees])
    assert all(again is first for again, first in zip(redact_page(once), once, strict=True))


@st.composite
def planted(draw: st.DrawFn) -> tuple[Any, Any]:
    """A tree with a canary under a secret name at some depth, and the same tree redacted."""
    name = draw(st.sampled_from(SECRET_NAMES))
    secret, clean = draw(
        st.sampled_from(
            [(CANARY, REDACTED), ([CANARY], [REDACTED]), ({"a": {"b": CANARY}}, {"a": {"b": REDACTED}})]
        )
    )
    with_secret, without = {name: secret}, {name: clean}
    for _ in range(draw(st.integers(0, 6))):
        beside = draw(HARMLESS)
        way = draw(st.integers(0, 2))
        if way == 0:
            with_secret, without = [beside, with_secret], [beside, without]
        elif way == 1:
            plain = draw(
                st.sampled_from(["assistant", "model", "squad", "hooks", "server", "url", "content"])
            )
            with_secret, without = {"beside": beside, plain: with_secret}, {"beside": beside, plain: without}
        else:
            with_secret, without = (
                {"arguments": json.dumps(tree, separators=(",", ":"), ensure_ascii=False)}
                for tree in (with_secret, without)
            )
    return with_secret, without


@FEW
@given(planted())
def test_only_the_canary_under_a_secret_name_is_redacted(trees: tuple[Any, Any]) -> None:
    """At any depth in objects, arrays and JSON inside strings."""
    secret, clean = trees
    assert redact(secret) == clean
    assert page(secret) == clean


@FEW
@given(HARMLESS)
def test_a_tree_without_secrets_is_the_same_object(tree: Any) -> None:
    """The walk copies nothing."""
    assert redact(tree) is tree
