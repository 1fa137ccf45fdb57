"""Secrets in text as they occur in practice, text that only looks secret, and that the scan suspects every text that is changed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaction_cases import page
from selection import examples, first
from vapi_sessions.privacy.patterns import (
    _COOKIES,
    _KEYS,
    _NAMES,
    _PASSES,
    _PHRASES,
    _TOKENS,
    SHAPES,
    SMALL_HINTS,
)
from vapi_sessions.privacy.redaction import redact, redact_page
from vapi_sessions.privacy.redaction_text import _NAMED, _SHAPE_HINT, REDACTED, redact_text

KEY = "gsk_abcdefghijklmnopqrstuv12"


@pytest.mark.parametrize(
    "name",
    [
        "pwd", "pass", "auth", "sig", "passcode", "passcodes", "password1", "apiKey2", "api_key_2", "clientSecretValue", "tokenText",
        "secret_string", "dbPass", "DB_PWD", "githubToken", "slackBotToken", "csrf", "openaiKeyValue", "masterKey", "groq_key",
        "x-api-key-1", "sessionCookie", "authorizationHeader", "cookies", "tokens", "cookie",
    ],
)  # fmt: skip
def test_values_under_variants_of_secret_names_are_redacted(name: str) -> None:
    """Names with numbers, endings and in the plural; a string, a list and an object."""
    for value, clean in (("c4n4ry", REDACTED), (["c4n4ry"], [REDACTED]), ({"a": "c4n4ry"}, {"a": REDACTED})):
        assert page({"x": {name: value}}) == {"x": {name: clean}}
    assert page({"a": f'{{"{name}": "c4n4ry=", '}) == {"a": f'{{"{name}": "{REDACTED}", '} or name == "tokens"


@pytest.mark.parametrize(
    "value",
    [
        {"table": {"headers": ["Name", "Phone number", "Password"], "rows": [["a", "b", "c"]]}},
        {"properties": {"password": {"type": "string", "description": "The user's own", "minLength": 8}}},
        {"parameters": {"type": "object", "properties": {"headers": {"type": "array", "items": {"type": "string"}}}}},
        {"unsignedUrl": "https://h/x?a=1", "assignedUrl": "https://h/x?a=1"},
        {"cookie": "chocolate chip", "cookies": ["oatmeal", "Chocolate chip"]},
        {"pass": "boarding pass", "auth": None, "x": {"pass": 3, "tokens": 812}},
        {"nextPageToken": "CAoQAA", "promptTokens": 12, "tokens": {"input": 3}, "page_token": "x1"},
        {"content": "the cookie: chocolate chip; the boarding pass: ABC1234"},
        {"content": "https://host:8080/path?email=a@b.c and https://h/@user"},
        {"content": "Authorization: verbal, by the customer"},
        {"content": "token={{customer.token1}} and Bearer ${API_KEY_1}"},
        {"id": "bb31823e-2c96-4e46-bb3b-6a5ecaf921e7", "call": "call_abcdefghijklmnopqrstuvwx"},
    ],
)  # fmt: skip
def test_values_that_only_look_secret_are_kept(value: Any) -> None:
    """Header rows of tables, definitions, words, counts and templates."""
    assert page(value) == value
    assert redact(value) is value


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ({"cookie": "sid=abc"}, {"cookie": REDACTED}),
        ({"headers": ["Authorization", "abc", "X: y"]}, {"headers": ["Authorization", REDACTED, REDACTED]}),
        ({"rawHeaders": ["X-A", "b"]}, {"rawHeaders": [REDACTED, REDACTED]}),
        ({"headers": {"Name": "b"}}, {"headers": {"Name": REDACTED}}),
        ({"pass": 4711}, {"pass": REDACTED}),
        ({"properties": {"password": "hunter"}}, {"properties": {"password": REDACTED}}),
        (
            {"properties": {"password": {"type": "string", "default": "hunter", "enum": ["x"]}}},
            {"properties": {"password": {"type": "string", "default": REDACTED, "enum": [REDACTED]}}},
        ),
        ({"properties": {"token": {"type": "other"}}}, {"properties": {"token": {"type": REDACTED}}}),
    ],
)
def test_secrets_in_similar_values_are_redacted(value: Any, clean: Any) -> None:
    """The exceptions above do not let secrets through."""
    assert page(value) == clean
    assert redact(value) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (rf"a\n{KEY} b", rf"a\n{REDACTED} b"),
        ("x%3DAKIAABCDEFGHIJKLMNOP%26b", f"x%3D{REDACTED}%26b"),
        (rf"a\u0022{KEY}\u0022", rf"a\u0022{REDACTED}\u0022"),
        (r"a\ntoken=abc12345", rf"a\ntoken={REDACTED}"),
        (r"\u0022apiKey\u0022:\u0022a b\u0022,", rf"\u0022apiKey\u0022:\u0022{REDACTED}\u0022,"),
        ("&quot;apiKey&quot;:&quot;ab&quot;,", f"&quot;apiKey&quot;:&quot;{REDACTED}&quot;,"),
        ("user[password]=hunter22&user[name]=bob", f"user[password]={REDACTED}&user[name]=bob"),
        ("https://h/?user%5Bpwd%5D=x&a=1", f"https://h/?user%5Bpwd%5D={REDACTED}&a=1"),
        ('config["password"] = "hunter"', f'config["password"] = "{REDACTED}"'),
        ("postgres://u:p/w@h:5432/db", f"postgres://{REDACTED}@h:5432/db"),
        ("https://u:p/w?x#y@h/z", f"https://{REDACTED}@h/z"),
        ("Authorization: Token abc123def, ok", f"Authorization: Token {REDACTED}, ok"),
        ("-H 'Authorization: SSWS opensesame'", f"-H 'Authorization: SSWS {REDACTED}'"),
        ('Authorization: Digest username="b", response="6629"', f"Authorization: Digest {REDACTED}"),
        ("Cookie: a=1; session=abc; theme=dark\nHost: h", f"Cookie: {REDACTED}\nHost: h"),
        ("Set-Cookie: a=b; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT; HttpOnly", f"Set-Cookie: {REDACTED}"),
        ("password=abc12(def&ghi)jkl thanks", f"password={REDACTED} thanks"),
        ("password=(abc123x), thanks", f"password={REDACTED}), thanks"),
        ("https://h/?token=a&b;c?d#e", f"https://h/?token={REDACTED}"),
        ("https://h/?u=x%26token%3Dabc123", f"https://h/?u=x%26token%3D{'%5Bredacted%5D'}"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n-----END PGP PRIVATE KEY BLOCK-----", REDACTED),
    ],
)  # fmt: skip
def test_secrets_in_texts_are_redacted_completely(text: str, clean: str) -> None:
    """After an escape, in brackets, with any scheme, with punctuation inside. A second pass changes nothing."""
    assert redact_text(text) == clean
    assert redact_text(clean) == clean
    assert page({"content": text}) == {"content": clean}


@pytest.mark.parametrize(
    "secret",
    [
        KEY, "xai-" + "a1" * 20, "pplx-" + "a1" * 24, "csk-" + "a1" * 24, "rpa_" + "A1" * 20, "sbp_" + "a1" * 20, "sb_secret_" + "a1" * 12,
        "sk-lf-1234abcd-12ab-34cd-56ef-1234567890ab", "pk-lf-1234abcd-12ab-34cd-56ef-1234567890ab", "tgp_v1_" + "a1" * 20,
        "sk-or-v1-" + "a1" * 32, "sk_car_" + "a1" * 12, "pit-1234abcd-12ab-34cd-56ef-1234567890ab", "ABIAABCDEFGHIJKLMNOP",
    ],
)  # fmt: skip
def test_keys_of_the_contracts_vendors_are_redacted(secret: str) -> None:
    """In a text, and as the name of a member."""
    assert page({"a": f"use {secret} now", "b": {secret: 1}}) == {
        "a": f"use {REDACTED} now",
        "b": {REDACTED: 1},
    }


def test_member_names_that_are_secrets_are_redacted() -> None:
    """At any depth, also in JSON inside strings. Two such members of one object stay separate."""
    other = KEY.replace("1", "2")
    body = f'{{"id":"i","a":{{"{KEY}":1,"x":2,"{other}":3}}}}'.encode()
    assert redact_page([body]) == [b'{"id":"i","a":{"[redacted]":1,"x":2,"[redacted] 2":3}}']
    assert page({"a": json.dumps({KEY: 1})}) == {"a": '{"[redacted]":1}'}
    assert page({KEY: 1, "id": "i"}) == {REDACTED: 1, "id": "i"}
    assert page({"headers": {KEY: "x"}}) == {"headers": {REDACTED: REDACTED}}
    assert page({"a": {"https://u:p@h/x": 1}}) == {"a": {f"https://{REDACTED}@h/x": 1}}


@pytest.mark.parametrize("shape", first(SHAPES, 20))
@examples(12)
@given(data=st.data())
def test_the_fast_test_matches_every_shape(shape: str, data: st.DataObject) -> None:
    """Every text with this shape is examined and redacted."""
    text = data.draw(st.from_regex(shape.replace("2000", "9"), fullmatch=True))
    assert _SHAPE_HINT.search(text) or any(hint in text for hint in SMALL_HINTS)
    assert redact_text(f"x\\n{text}") == f"x\\n{REDACTED}"


def test_the_fast_test_matches_every_secret_name() -> None:
    """Every assignment to such a name is examined and redacted."""
    names = (
        [f"{word} key" for word in _KEYS]
        + [f"{word} token" for word in _TOKENS]
        + [f"{word} pass" for word in _PASSES]
    )
    others = [
        "account sid",
        "auth username",
        "webhook url",
        "connection string",
        "pass phrase",
        "access key id",
        "password",
    ]
    for name in [*names, *others, *_NAMES, *_PHRASES, *(name.replace("?", "") for name in _COOKIES)]:
        for spelled in (name.replace(" ", ""), name.replace(" ", "_") + "_value2"):
            assert _NAMED.search(f"{spelled}=x"), name
            assert page({"a": f"{spelled}=c4n4ry=1"}) == {"a": f"{spelled}={REDACTED}"}, name


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "token", "password", "apiKey", "pass", "cookie", "Authorization", "auth", "sig", "secret", "Bearer ", "Token ", "user[", "]",
                "=", ":", " is ", "%3D", "%3a", "%2F", "://", "u:p", "@", "/", "?", "&", ";", ",", "(", '"', "'", "`", "\\", "\\n", "\\u0022",
                "&quot;", "%22", " ", "\n", "abc123def", "1", "sid=a1", "sip:", "Value", "2", "%5D", "{", "[redacted]", "%5Bredacted%5D",
                "AKIAABCDEFGHIJKLMNOP", KEY, "sk-proj-abcdefghijklmnop1234", "hooks.slack.com/services/T1", "é", "\u00a0", "state=", "code=",
            ]
        ),
        st.text(max_size=3),
    ),
    max_size=9,
).map("".join)  # fmt: skip


@examples(1200, share=24)
@given(PIECES, st.integers(0, 2), st.booleans(), st.booleans())
def test_the_scan_suspects_every_text_that_is_changed(
    text: str, depth: int, ascii_only: bool, php: bool
) -> None:
    """As a value and as a member name, in JSON inside JSON, with any escapes."""
    for value in ({"a": text}, {text: 1}):
        inner: Any = value
        for _ in range(depth):
            inner = {"x": json.dumps(inner, ensure_ascii=ascii_only)}
        body = json.dumps(inner, ensure_ascii=ascii_only).encode("utf-8", "replace")
        body = body.replace(b"/", b"\\/") if php else body
        clean = redact(json.loads(body))
        pairs = json.loads(redact_page([body])[0], object_pairs_hook=lambda found: list(map(list, found)))
        assert pairs == _as_pairs(clean)


def _as_pairs(value: Any) -> Any:
    """An object as a list of pairs, whose names may be equal."""
    return [[name, member] for name, member in (value.items() if type(value) is dict else value)]


@examples(2000, share=40)
@given(PIECES)
def test_redacting_twice_changes_nothing(text: str) -> None:
    """Otherwise the hash of a session would depend on how often it was redacted."""
    once = redact_text(text)
    assert redact_text(once) == once


@pytest.mark.parametrize(
    "run",
    first([
        "?token=a&", "password=&", "Authorization: a ", "cookie:", r"token=\"", "cookie:a=1;", "authorization:", "password=(", "%3d", "token%3d", "://u:", "u:p/@",
        r"\n", r"\u0022", "&quot;", 'token="', r'token=\"\\\"', "token=`", "pass=", "-a", "_a", "sk-", "user[", "]=",
        "?a&", "sip:a:", "a.", ":AA", "password=a'", "(((", "token=%22",
    ], 1),
)  # fmt: skip
def test_redaction_of_texts_takes_linear_time(run: str) -> None:
    """A text of four times the length takes less than eight times as long, or less than 0.15 s."""
    spent = []
    for size in (50_000, 200_000):
        begin = time.process_time()
        redact_text(run * (size // len(run)) + "@=%")
        spent.append(time.process_time() - begin)
    assert spent[1] < max(8 * spent[0], 0.15)
