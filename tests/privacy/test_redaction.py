"""No credential survives, everything else does, and what holds none is not even decoded."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import examples, first
from vapi_sessions.core.json_text import normalised
from vapi_sessions.privacy.patterns import SHAPES
from vapi_sessions.privacy.redaction import Extra, content_hash, redact, redact_page
from vapi_sessions.privacy.redaction_text import REDACTED, redact_text

CANARY = "c4n4ry"
FEW = examples(200)

#: Names from the contract and from practice, in the spellings that occur.
SECRET_NAMES = [
    "apiKey", "api_key", "apikey", "API-Key", "x-api-key", "apiSecret", "authToken", "auth_token", "accountSid",
    "openAIKey", "openaiKey", "ocpApimSubscriptionKey", "awsAccessKeyId", "awsSecretAccessKey", "accessKeyId",
    "secretAccessKey", "hmacAccessKey", "hmacSecret", "gcpKey", "privateKey", "private_key_id", "privateKeyId",
    "clientSecret", "client_secret", "accessToken", "refreshToken", "token", "TOKEN", "secretKey", "authPassword",
    "authUsername", "webhookUrl", "twilioAuthToken", "twilioApiKey", "twilioApiSecret", "twilioAccountSid",
    "serverUrlSecret", "secret", "password", "connectionString", "Authorization", "x-vapi-secret", "apiKeys", "secrets",
]  # fmt: skip
#: Names that only sound like secrets.
PLAIN_NAMES = [
    "promptTokens", "completionTokens", "cachedPromptTokens", "reasoningTokens", "maxTokens", "budgetTokens", "tokenCount",
    "credentialId", "credentialIds", "publicKey", "promptCacheKey", "keypadInputPlan", "keywords", "secretIsBase64", "key",
    "headerName", "encryptedContent", "dictionaryId", "value", "name", "parameters", "sessionId", "authorizationId", "url",
]  # fmt: skip


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def page(value: Any) -> Any:
    """A decoded value, by way of redact_page."""
    return json.loads(redact_page([compact(value)])[0])


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_value_under_a_secret_name_is_redacted(name: str) -> None:
    """As text, as a number, and in a container leaf by leaf."""
    for value, expected in (
        (CANARY, REDACTED),
        (4711, REDACTED),
        ({"a": [CANARY, None, True]}, {"a": [REDACTED, None, True]}),
    ):
        assert page({"x": [{name: value, "y": 1}]}) == {"x": [{name: expected, "y": 1}]}


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_name_that_only_sounds_secret_is_left_alone(name: str) -> None:
    """Token counts, ids of credentials, public keys."""
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
def test_secrets_are_known_by_their_place(value: Any, expected: Any) -> None:
    """Structures of the contract, and JSON inside strings."""
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
def test_urls_lose_what_is_secret_in_them(text: str, expected: str) -> None:
    """User info, token-like parameters, signed queries; nothing else."""
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
def test_prose_and_broken_json_lose_what_is_secret_in_them(text: str, expected: str) -> None:
    """By a secret's name with a value behind it, or by the shape of the value; sentences stay."""
    assert redact_text(text) == expected
    assert redact_text(expected) == expected
    assert page({"content": text}) == {"content": expected}


def test_names_and_paths_of_ones_own_are_redacted_as_well() -> None:
    """Names in any spelling and inside JSON strings, paths through arrays and any name; nothing else."""
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


#: Each a name or path of one's own, and a body in which it stands in a spelling of its own.
ODD_SPELLINGS = [
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


@pytest.mark.parametrize(("name", "path", "body"), ODD_SPELLINGS)
def test_names_of_ones_own_are_found_in_any_spelling(name: str, path: str, body: str) -> None:
    """The scan is as wide as the walk: separators anywhere, escapes, letters that change in lower case."""
    extra = Extra.of([name] if name else [], [path] if path else [])
    (clean,) = redact_page([body.encode()], extra)
    assert CANARY.encode() not in clean
    assert extra.suspect


def test_what_the_scan_for_names_knows_of_letters_is_so() -> None:
    """One letter becomes two in lower case, one becomes ASCII, and RE2 sees every other as the same in either case."""
    lower = {c: c.lower() for c in map(chr, range(sys.maxunicode + 1)) if c.lower() != c}
    assert [c for c, small in lower.items() if len(small) > 1] == ["İ"]
    assert [c for c, small in lower.items() if small.isascii() and not c.isascii()] == ["\u212a"]
    for letter, small in lower.items():
        if letter != "İ":
            assert pc.match_substring_regex(pa.array([letter]), f"(?i)^{re.escape(small)}$")[0].as_py(), (
                letter
            )


def test_more_names_than_one_expression_holds_are_found_too() -> None:
    """Every body is looked at then."""
    extra = Extra.of([f"a field of ours, number {n}" for n in range(10_000)], [])
    plain, named = b'{"a": "b"}', b'{"aFieldOfOurs,Number9999":"c4n4ry"}'
    clean = redact_page([plain, named], extra)
    assert clean[0] is plain
    assert CANARY.encode() not in clean[1]


@pytest.mark.parametrize("path", ["", "a..b", "$", "a['b']", "a[x]"])
def test_a_path_that_means_nothing_is_refused(path: str) -> None:
    """Rather than matching nothing in silence."""
    with pytest.raises(ValueError, match="is no path"):
        Extra.of([], [path])


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
    """Escapes, white space, repeated keys, JSON in JSON in JSON, lone surrogates."""
    (clean,) = redact_page([normalised(body.encode())[0]])
    assert CANARY.encode() not in clean
    assert b"redacted" in clean
    json.loads(clean)


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
        6,
    ),
)
def test_long_texts_take_no_longer_than_their_length(run: str) -> None:
    """No expression costs the square of a text: half a million characters of what it looks for take no time."""
    begin = time.process_time()
    redact_text(run * (500_000 // len(run)) + "@=%")
    assert time.process_time() - begin < 2


def test_what_is_not_redacted_keeps_its_text() -> None:
    """Numbers to the last digit, escapes that cannot be otherwise, order."""
    body = rb'{"z":1.50,"a":0.12345678901234567890,"b":1e400,"n":123456789012345678901234567890,"s":"\u0000","secret":"x"}'
    assert redact_page([body]) == [body.replace(b'"x"', b'"[redacted]"')]


def test_what_holds_no_secret_is_the_same_object() -> None:
    """Bodies beside a redacted one are not touched; neither are those that only look suspect."""
    plain, suspect, secret = b'{"a": "b"}', b'{"a": "headers\\""}', b'{"secret":"x"}'
    clean = redact_page([plain, suspect, secret])
    assert clean[0] is plain
    assert clean[1] is suspect
    assert clean[2] == b'{"secret":"[redacted]"}'
    assert redact_page([]) == []


@pytest.mark.parametrize(("depth", "found"), [(150, REDACTED), (3000, "nested too deeply")])
def test_what_became_a_string_for_its_depth_is_examined(depth: int, found: str) -> None:
    """Or replaced, where its own depth forbids that; the session beside it stays."""
    deep = b'{"id":"i","y":' + b'{"a":' * depth + b'{"apiKey":"c4n4ry"}' + b"}" * depth + b',"z":1}'
    (clean,) = redact_page([normalised(deep)[0]])
    assert CANARY.encode() not in clean
    assert found.encode() in clean
    assert (json.loads(clean)["id"], json.loads(clean)["z"]) == ("i", 1)


@pytest.mark.parametrize(
    "text", ['{"apiKey":"c4n4ry","apiKey":null}', r'{"apiKey":"c4n4ry\ud83d","a":"\udc00"}']
)
def test_json_text_in_which_something_is_odd_hides_nothing(text: str) -> None:
    """It is put right before it is looked at."""
    (clean,) = redact_page([compact({"a": text})])
    assert CANARY.encode() not in clean
    assert json.loads(json.loads(clean)["a"])["apiKey"] in (None, REDACTED)


def test_json_text_too_deep_to_examine_is_replaced() -> None:
    """A string only; the session stays readable."""
    text = '{"apiKey":' * 3000 + '"c4n4ry"' + "}" * 3000
    assert page({"id": "i", "a": text}) == {"id": "i", "a": '{"$unreadable":"nested too deeply"}'}


@pytest.mark.parametrize(
    "body", [b'{"apiKey":"c4n4ry"', b'{"apiKey":"c4n4ry","x":NaN}', b'\xff{"apiKey":"c4n4ry"}']
)
def test_a_suspect_body_that_is_not_json_does_not_leak(body: bytes) -> None:
    """It cannot be examined, so it is not passed on; its neighbours are."""
    clean = redact_page([body, b"{}"])
    assert CANARY.encode() not in clean[0]
    assert clean[1] == b"{}"


def test_content_hash_depends_on_body_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of the redactor stores every session anew."""
    first = content_hash(b"{}")
    assert len(first) == 32
    assert first == content_hash(b"{}") != content_hash(b"[]")
    monkeypatch.setattr("vapi_sessions.privacy.redaction.REDACTOR_VERSION", 99)
    assert content_hash(b"{}") != first


# ---------------------------------------------------------------------------------------------------------------------
# Any JSON.

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
#: Nothing in these is a secret.
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
def test_the_scan_passes_nothing_that_the_walk_would_change(
    trees: list[Any], ascii_only: bool, spaced: bool
) -> None:
    """A body is passed on, or comes out as the walk leaves it."""
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
def test_a_telling_shape_is_found_however_json_writes_it(
    shape: str, data: st.DataObject, escaped: bool, depth: int
) -> None:
    """As it is, with slashes escaped as PHP does, and in JSON within JSON."""
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
def test_the_walk_takes_no_letter_for_another_that_the_scan_does_not(text: str, ascii_only: bool) -> None:
    """Or it would depend on a session's other texts what becomes of this one."""
    body = json.dumps({"a": text}, ensure_ascii=ascii_only).encode()
    assert json.loads(redact_page([body])[0]) == redact({"a": text})


NAMES_OF_ONES_OWN = st.lists(
    st.sampled_from([*'abkis/"\\-_. \t\x01İıſÅåßẞΣσςпПé', "i\u0307", "\u212a", "\u212b", "\U0001f511", "\ufffd"]), max_size=4
).map("".join)  # fmt: skip


@FEW
@given(NAMES_OF_ONES_OWN, st.data(), st.booleans(), st.booleans(), st.integers(0, 2))
def test_the_scan_for_names_passes_nothing_that_the_walk_would_change(
    name: str, data: st.DataObject, ascii_only: bool, escaped: bool, depth: int
) -> None:
    """Whatever the name, however it is spelled and escaped, in JSON within JSON too."""
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


def test_half_a_character_in_a_name_of_ones_own_is_found() -> None:
    """As the decoder shows it in a session."""
    body, _ = normalised(json.dumps({"a\udcff": CANARY}).encode())
    for extra in (Extra.of(["a\udcff"], []), Extra.of([], ["a\udcff"])):
        assert CANARY.encode() not in redact_page([body], extra)[0]


@FEW
@given(st.lists(TREES, max_size=4))
def test_redaction_is_idempotent(trees: list[Any]) -> None:
    """A second time changes nothing, and returns the same objects."""
    once = redact_page([json.dumps(tree).encode() for tree in trees])
    assert all(again is first for again, first in zip(redact_page(once), once, strict=True))


@st.composite
def planted(draw: st.DrawFn) -> tuple[Any, Any]:
    """A tree with a canary under a secret name at some depth, and the same tree with the canary redacted."""
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
def test_a_canary_under_a_secret_name_is_gone_and_nothing_else(trees: tuple[Any, Any]) -> None:
    """At any depth, through objects, arrays and JSON in strings."""
    secret, clean = trees
    assert redact(secret) == clean
    assert page(secret) == clean


@FEW
@given(HARMLESS)
def test_harmless_trees_are_untouched(tree: Any) -> None:
    """The walk returns the same object."""
    assert redact(tree) is tree
