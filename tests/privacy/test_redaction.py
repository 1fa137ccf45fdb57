"""Credentials are redacted, and everything else is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redaction_cases import CANARY, PLAIN_NAMES, SECRET_NAMES, compact, page
from vapi_sessions.core.json_text import normalised
from vapi_sessions.privacy.redaction import content_hash, redact, redact_page
from vapi_sessions.privacy.redaction_text import REDACTED, redact_text


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_value_under_a_secret_name_is_redacted(name: str) -> None:
    """A string, a number, and every leaf of an object."""
    for value, expected in (
        (CANARY, REDACTED),
        (4711, REDACTED),
        ({"a": [CANARY, None, True]}, {"a": [REDACTED, None, True]}),
    ):
        assert page({"x": [{name: value, "y": 1}]}) == {"x": [{name: expected, "y": 1}]}


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_value_under_a_name_that_only_sounds_secret_is_kept(name: str) -> None:
    """Such as token counts, ids of credentials and public keys."""
    body = compact({"x": {name: "plain"}})
    assert redact_page([body])[0] is body


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"credentials": [{"provider": "p", "name": "n", "id": "i", "apiKey": "k", "region": "r", "plan": {"path": "x"}}]},
            {
                "credentials": [
                    {"provider": "p", "name": "n", "id": "i", "apiKey": REDACTED, "region": REDACTED, "plan": {"path": REDACTED}}
                ]
            },
        ),
        ({"headers": {"X-A": "k", "name": "n"}}, {"headers": {"X-A": REDACTED, "name": REDACTED}}),
        ({"sipHeaders": {"X-B": "k"}}, {"sipHeaders": {"X-B": REDACTED}}),
        ({"server": {"url": "https://h", "secret": "k"}}, {"server": {"url": "https://h", "secret": REDACTED}}),
        (
            {"environmentVariables": [{"name": "A", "value": "k"}, "B=k"], "environment_variables": {"C": "k"}},
            {"environmentVariables": [{"name": "A", "value": REDACTED}, REDACTED], "environment_variables": {"C": REDACTED}},
        ),
        ({"parameters": [{"key": "A", "value": {"b": "k"}}]}, {"parameters": [{"key": "A", "value": {"b": REDACTED}}]}),
        (
            {"parameters": {"type": "object", "properties": {"value": {"type": "string"}}}},
            {"parameters": {"type": "object", "properties": {"value": {"type": "string"}}}},
        ),
        ({"presignedMonoUrl": "https://h/a.wav?x=1"}, {"presignedMonoUrl": f"https://h/a.wav?{REDACTED}"}),
        ({"arguments": '{"apiKey":"k","n":1.0}'}, {"arguments": f'{{"apiKey":"{REDACTED}","n":1.0}}'}),
        ({"arguments": '{ "a": "plain" }', "secret": 1}, {"arguments": '{ "a": "plain" }', "secret": REDACTED}),
        ({"arguments": '{"apiKey":', "secret": 1}, {"arguments": '{"apiKey":', "secret": REDACTED}),
        ({"a": '["{\\"token\\":\\"k\\"}"]'}, {"a": f'["{{\\"token\\":\\"{REDACTED}\\"}}"]'}),
        ({"secret": None, "token": True}, {"secret": None, "token": True}),
    ],
)  # fmt: skip
def test_secrets_are_found_by_the_structures_around_them(value: Any, expected: Any) -> None:
    """In structures of the contract, and in JSON inside strings."""
    assert page(value) == expected
    assert redact(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://u:p@h/x, ok", f"see https://{REDACTED}@h/x, ok"),
        ("postgres://u:p@h:5/x", f"postgres://{REDACTED}@h:5/x"),
        ("https://tok@h", f"https://{REDACTED}@h"),
        ("https://h/x?a=1&token=t&b=2#c", f"https://h/x?a=1&token={REDACTED}&b=2#c"),
        ("https://h/x?API_KEY=t", f"https://h/x?API_KEY={REDACTED}"),
        ("https://h/#access_token=t", f"https://h/#access_token={REDACTED}"),
        ("wss://h/?x-vapi-secret=t", f"wss://h/?x-vapi-secret={REDACTED}"),
        ("https://h/x?a=1&X-Amz-Signature=s&b=2 next", f"https://h/x?{REDACTED} next"),
        ("https://h/x?sv=1&sig=s", f"https://h/x?{REDACTED}"),
        ("https://h/cb?code=c&state=s", f"https://h/cb?code={REDACTED}&state=s"),
        ("https://h/cb?state=s&x=1&code=c", f"https://h/cb?state=s&x=1&code={REDACTED}"),
        ("https://h/?code=SAVE10", "https://h/?code=SAVE10"),
        ("https://h/?u=https%3A%2F%2Fi%3Ftoken%3Dt", "https://h/?u=https%3A%2F%2Fi%3Ftoken%3D%5Bredacted%5D"),
        ("sip:u:p@h", f"sip:u:{REDACTED}@h"),
        ("sip:+1555@h", "sip:+1555@h"),
        ("mail a@b.c about https://h/x?monkey=1&author=2", "mail a@b.c about https://h/x?monkey=1&author=2"),
        ("https://h/@user", "https://h/@user"),
        ('{"url":"https://u:p@h"}', f'{{"url":"https://{REDACTED}@h"}}'),
    ],
)
def test_secrets_in_urls_are_redacted(text: str, expected: str) -> None:
    """User info, secret parameters and signed queries, and nothing else."""
    assert redact_text(text) == expected
    assert redact_text(expected) == expected
    assert page({"content": text}) == {"content": expected}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def1-x_y==, ok", f"Authorization: Bearer {REDACTED}, ok"),
        ("send Basic dXNlcjpwYXNzMQ== as", f"send Basic {REDACTED} as"),
        ("my api key is 12ab34cd. Thanks", f"my api key is {REDACTED} Thanks"),
        ("the password: Blue42!x", f"the password: {REDACTED}"),
        ("export OPENAI_API_KEY=abcdef123", f"export OPENAI_API_KEY={REDACTED}"),
        ("{'token': 'abc', 'a': 'b'}", f"{{'token': '{REDACTED}', 'a': 'b'}}"),
        ('{"apiKey": "a b\\"c", "x": {', f'{{"apiKey": "{REDACTED}", "x": {{'),
        ('[{"a": "{\\"secret\\": \\"s t\\", \\"b\\": 1}"', f'[{{"a": "{{\\"secret\\": \\"{REDACTED}\\", \\"b\\": 1}}"'),
        ("sk-proj-abcdefghijklmnopqrst ok", f"{REDACTED} ok"),
        ("AKIAABCDEFGHIJKLMNOP", REDACTED),
        ("AC" + "0f" * 16 + " is ours", f"{REDACTED} is ours"),
        ("eyJhbGciOi1.eyJzdWIiOi1.c2lnbmF0", REDACTED),
        ("https://hooks.slack.com/services/T1/B2/x3y4", f"https://hooks.slack.com/services/{REDACTED}"),
        ("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\nok", f"{REDACTED}\nok"),
        ("-----BEGIN EC PRIVATE KEY-----\nMII", REDACTED),
        ("the secret: be patient", "the secret: be patient"),
        ("what is a token? A token is something small", "what is a token? A token is something small"),
        ("Basic questions about your bearer account", "Basic questions about your bearer account"),
        ("your key is under the mat, number 123456", "your key is under the mat, number 123456"),
    ],
)  # fmt: skip
def test_secrets_in_prose_and_broken_json_are_redacted(text: str, expected: str) -> None:
    """Found by a secret name with a value, or by the shape of the value. Sentences stay."""
    assert redact_text(text) == expected
    assert redact_text(expected) == expected
    assert page({"content": text}) == {"content": expected}


@pytest.mark.parametrize(
    "body",
    [
        r'{"api\u004bey":"c4n4ry"}',
        r'{"a":"{\"api\\u004bey\":\"c4n4ry\"}"}',
        '{"apiKey" : "c4n4ry"}',
        r'{"a":"{ \"apiKey\" :\n \"c4n4ry\"}"}',
        r'{"a":"[\"{\\\"apiKey\\\":\\\"c4n4ry\\\"}\"]"}',
        r'{"url":"https:\/\/u:c4n4ry@h"}',
        r'{"url":"https:\u002f\u002fu:c4n4ry@h"}',
        r'{"a":"{\"url\":\"https:\\\/\\\/u:c4n4ry@h\"}"}',
        '{"apiKey":"c4n4ry","apiKey":"c4n4ry"}',
        r'{"apiKey":"c4n4ry","x":"\ud800"}',
        r'{"a":"{\"apiKey\":\"c4n4ry\",\"x\":\"\\ud800\"}"}',
        '{"parameters":\n[\n{"VALUE":"c4n4ry"}]}',
        r'{"a":"whsec_c4n4ry\/c4n4ry+c4n4ry"}',
        r'{"a":"{\"b\":\"whsec_c4n4ry\\\/c4n4ry+c4n4ry\"}"}',
        '{"a":"password isſc4n4ry"}',
    ],
)
def test_unusual_spellings_do_not_leak(body: str) -> None:
    """Escapes, white space, repeated names, JSON inside JSON, lone surrogates."""
    (clean,) = redact_page([normalised(body.encode())[0]])
    assert CANARY.encode() not in clean
    assert b"redacted" in clean
    json.loads(clean)


def test_other_members_of_a_redacted_body_keep_their_text() -> None:
    """Numbers to the last digit, necessary escapes, and the order."""
    body = rb'{"z":1.50,"a":0.12345678901234567890,"b":1e400,"n":123456789012345678901234567890,"s":"\u0000","secret":"x"}'
    assert redact_page([body]) == [body.replace(b'"x"', b'"[redacted]"')]


def test_a_body_without_secrets_is_the_same_object() -> None:
    """Also beside a redacted body, and if the scan suspects it."""
    plain, suspect, secret = b'{"a": "b"}', b'{"a": "headers\\""}', b'{"secret":"x"}'
    clean = redact_page([plain, suspect, secret])
    assert clean[0] is plain
    assert clean[1] is suspect
    assert clean[2] == b'{"secret":"[redacted]"}'
    assert redact_page([]) == []


@pytest.mark.parametrize(("depth", "found"), [(150, REDACTED), (3000, "nested too deeply")])
def test_a_deep_value_that_became_a_string_is_examined(depth: int, found: str) -> None:
    """If it is too deep for that, it is replaced. The other members stay."""
    deep = b'{"id":"i","y":' + b'{"a":' * depth + b'{"apiKey":"c4n4ry"}' + b"}" * depth + b',"z":1}'
    (clean,) = redact_page([normalised(deep)[0]])
    assert CANARY.encode() not in clean
    assert found.encode() in clean
    assert (json.loads(clean)["id"], json.loads(clean)["z"]) == ("i", 1)


@pytest.mark.parametrize(
    "text", ['{"apiKey":"c4n4ry","apiKey":null}', r'{"apiKey":"c4n4ry\ud83d","a":"\udc00"}']
)
def test_irregular_json_inside_a_string_hides_nothing(text: str) -> None:
    """It is normalised before it is examined."""
    (clean,) = redact_page([compact({"a": text})])
    assert CANARY.encode() not in clean
    assert json.loads(json.loads(clean)["a"])["apiKey"] in (None, REDACTED)


def test_json_inside_a_string_that_is_too_deep_is_replaced() -> None:
    """The other members stay."""
    text = '{"apiKey":' * 3000 + '"c4n4ry"' + "}" * 3000
    assert page({"id": "i", "a": text}) == {"id": "i", "a": '{"$unreadable":"nested too deeply"}'}


@pytest.mark.parametrize(
    "body", [b'{"apiKey":"c4n4ry"', b'{"apiKey":"c4n4ry","x":NaN}', b'\xff{"apiKey":"c4n4ry"}']
)
def test_a_suspect_body_that_is_not_json_does_not_leak(body: bytes) -> None:
    """It is replaced, because it cannot be examined. Other bodies of the page are kept."""
    clean = redact_page([body, b"{}"])
    assert CANARY.encode() not in clean[0]
    assert clean[1] == b"{}"


def test_content_hash_depends_on_body_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that sessions are stored again after a change of the redactor."""
    first = content_hash(b"{}")
    assert len(first) == 32
    assert first == content_hash(b"{}") != content_hash(b"[]")
    monkeypatch.setattr("vapi_sessions.privacy.redaction.REDACTOR_VERSION", 99)
    assert content_hash(b"{}") != first
