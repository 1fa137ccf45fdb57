"""Text of the source in messages: short, without credentials, and without our key in any spelling."""

from __future__ import annotations

import base64
import html
import logging
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import BASE, GOOD, KEY, Client, Scripted, api_error, failure, raw_response

from constants import KEY as EMULATED
from selection import examples, some
from servers import ScriptedServer, sends, source_of
from vapi_sessions.errors import ConfigurationError, SourceRefusedError, VapiSessionsError
from vapi_sessions.operations import sync
from vapi_sessions.privacy.own_key import OwnKey
from vapi_sessions.source.environment import Environment
from vapi_sessions.source.list_query import Query
from worlds import RecordedProgress, World

UUID: Final = "3f2b8c1d-9a7e-4f10-b2c3-d4e5f6a7b8c9"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _each(key: str, form: str) -> str:
    return "".join(form.format(ord(c)) for c in key)


SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "plain": lambda key: key,
    "upper case": str.upper,
    "percent-encoded": lambda key: _each(key, "%{:02x}"),
    "percent-encoded, in capitals": lambda key: _each(key, "%{:02X}"),
    "percent-encoded twice": lambda key: quote(_each(key, "%{:02X}")),
    "JSON": lambda key: _each(key, "\\u{:04x}"),
    "JSON in JSON": lambda key: _each(key, "\\\\u{:04X}"),
    "Python": lambda key: _each(key, "\\x{:02x}"),
    "backslashes": lambda key: "".join(c if c.isalnum() else f"\\{c}" for c in key),
    "HTML": lambda key: html.escape(_each(key, "&#{};")),
    "HTML, hexadecimal": lambda key: _each(key, "&#x{:X};"),
    "Base64": _base64,
    "Base64 of Bearer": lambda key: _base64(f"Bearer {key}"),
    "Base64 of a user": lambda key: _base64(f"u:{key}"),
    "Base64 for URLs": lambda key: base64.urlsafe_b64encode(f"xy{key}".encode()).decode().rstrip("="),
    "Base64, percent-encoded": lambda key: quote(_base64(key), safe=""),
    "hexadecimal": lambda key: key.encode().hex(),
    "its first characters": lambda key: key[:8],
    "its last characters": lambda key: f"…{key[-8:]}",
    "wrapped over two lines": lambda key: f"{key[:9]}\r\n   {key[9:]}",
    "with zero-width spaces": lambda key: "\u200b".join(key),
    "full width": lambda key: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in key),
}


def shares(key: str, text: str) -> list[str]:
    """The readable runs of eight characters of the key or of its encoded forms."""
    forms = [key, key.encode().hex(), *(_base64("x" * n + key)[4:-4] for n in range(3))]
    return [f[n : n + 8] for f in forms for n in range(len(f) - 7) if f[n : n + 8].lower() in text.lower()]


@pytest.mark.parametrize("key", [KEY, UUID, "sk/a+b=c~d.e_f-gh"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_our_key_is_hidden_in_any_spelling(spelling: Callable[[str], str], key: str) -> None:
    """The text around it stays."""
    hidden = OwnKey(key).hide(f"Invalid token 'Bearer {spelling(key)}' of today")
    assert hidden.startswith("Invalid token 'Bearer ")
    assert hidden.endswith("' of today")
    assert "***" in hidden
    assert shares(key, hidden) == []


@given(st.text(), st.sampled_from([UUID, KEY]))
@examples(200)
def test_text_without_our_key_is_unchanged(text: str, key: str) -> None:
    """The result is the same object."""
    assert OwnKey(key).hide(text) is text


def test_a_short_key_is_hidden_whole() -> None:
    """Only tests have such keys."""
    assert OwnKey("k").hide("token k, mask") == "to***en ***, mas***"
    assert OwnKey("abc").hide("token abc, ab") == "token ***, ab"
    assert KEY not in repr(OwnKey(KEY))


@pytest.mark.parametrize("spelling", some(SPELLINGS.values(), SPELLINGS["JSON"]))
@pytest.mark.parametrize("status", [400, 418])
def test_an_error_does_not_show_our_key(status: int, spelling: Callable[[str], str]) -> None:
    """Neither from a JSON body nor from plain text."""
    for answer in (
        api_error(status, f"bad {spelling(KEY)}"),
        raw_response(status, f"bad {spelling(KEY)}", "text/plain"),
    ):
        error = failure(answer)
        assert '"bad ' in error.fact
        assert shares(KEY, str(error)) == []


SECRETS: Final = (
    "sk-proj-Zx9Qw3Er5Ty7Ui1Op2As4Df6",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "hunter2-is-1t",
)
ECHO: Final = (
    f"OpenAI says {SECRETS[0]} and {SECRETS[1]}; password: {SECRETS[2]}; see https://u:{SECRETS[2]}@h/"
)
WAYS: Final[dict[str, tuple[httpx.Response, type[VapiSessionsError]]]] = {
    "a message": (api_error(400, ECHO), SourceRefusedError),
    "several messages": (api_error(400, [ECHO, {"a": ECHO}]), SourceRefusedError),
    "plain text": (raw_response(401, ECHO, "text/plain"), SourceRefusedError),
    "JSON in another form": (httpx.Response(500, json=[ECHO]), VapiSessionsError),
    "the title of a page": (raw_response(403, f"<html><title>{ECHO}</title>"), SourceRefusedError),
    "the heading of a gateway's page": (raw_response(502, f"<html><h1>{ECHO}</h1>"), VapiSessionsError),
    "the host of a redirect": (
        raw_response(302, "", location=f"https://{SECRETS[0]}.example/"),
        SourceRefusedError,
    ),
    "a content type": (raw_response(200, "x", f"text/{SECRETS[0]}"), VapiSessionsError),
}


@pytest.mark.parametrize(("answer", "kind"), WAYS.values(), ids=WAYS)
def test_an_error_shows_no_credential_of_the_source(
    answer: httpx.Response, kind: type[VapiSessionsError]
) -> None:
    """Wherever the text comes from, and neither in the reason of a wait."""
    with Client(Scripted(answer)) as client:
        with pytest.raises(kind) as caught:
            client.source.list(Query())
        shown = str(caught.value) + repr(client.waits)
    assert [secret for secret in SECRETS if secret in shown or secret.lower() in shown] == []
    assert len(caught.value.fact) < 400


def test_a_quote_is_one_short_line() -> None:
    """Even if the text is long, or a secret is at the place of the cut."""
    error = failure(api_error(400, "\x1b[31mno\n\r\t" + "word " * 20_000))
    assert '(400: "[31mno word ' in error.fact
    assert len(error.fact) < 260
    for before in range(140, 165):
        assert "9Qw3Er" not in failure(api_error(400, f"{'x' * before} {SECRETS[0]}")).fact


def test_the_id_of_an_organisation_is_quoted_like_other_text() -> None:
    """An error shows it if the key belongs to another organisation."""
    theirs = f"{EMULATED[:12]}\x1b[2J" + "o" * 10_000

    with Client(Scripted(GOOD)) as client:
        shown = client.source.shown(f"{KEY} {theirs}")
    assert shown.startswith("*** a-key-that-m")
    assert len(shown) == 160
    assert shown.isprintable()


def test_the_record_of_a_failed_run_has_the_cleaned_message(world: World) -> None:
    """In both databases."""
    world.insert(3, lambda n: (world.ago(hours=1),) * 2)
    world.sync()
    echo = f"bad key {EMULATED} or {_base64('Bearer ' + EMULATED)}, {ECHO}"

    class Refusing(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return api_error(401, echo)

    environment = Environment(
        now=world.clock.us, monotonic=world.clock.monotonic, sleep=world.clock.sleep, transport=Refusing()
    )
    notes = RecordedProgress()
    with pytest.raises(SourceRefusedError) as caught:
        sync.sync(world.settings(), environment=environment, progress=notes)
    ((error,),) = world.rows("SELECT error FROM sync.runs WHERE outcome = 'failed'")
    assert error == caught.value.fact
    for file in (world.warehouse / "vapi.duckdb", world.warehouse / "index.duckdb"):
        content = file.read_bytes()
        assert b"OpenAI says [redacted]" in content
        assert [s for s in (EMULATED, *SECRETS, "QmVhcmVyI" + "GEta2V5") if s.encode() in content] == []


def test_the_error_for_another_organisation_hides_our_key(world: World) -> None:
    """The id of the organisation may contain anything."""
    world.insert(1, lambda n: (world.ago(hours=1),) * 2)
    world.sync()
    server = world.server.org_id
    odd = f"{EMULATED}\x1b[31m{server}"
    page = {"results": [], "metadata": {"totalItems": 1, "itemsPerPage": 1, "currentPage": 1}}
    page["results"] = [
        {"id": "s", "orgId": odd, "createdAt": "2026-03-01T00:00:00.000Z", "updatedAt": "2026-03-01T00:00:00.000Z"}
    ]  # fmt: skip
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=page))
    environment = Environment(
        now=world.clock.us, monotonic=world.clock.monotonic, sleep=world.clock.sleep, transport=transport
    )
    with pytest.raises(ConfigurationError, match="belongs to organisation") as caught:
        sync.sync(world.settings(), environment=environment)
    assert EMULATED not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_log_lines_show_no_text_of_the_source(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the status line nor headers nor an unreadable response, with every logger at DEBUG."""
    caplog.set_level(logging.DEBUG)
    answer = f"HTTP/1.1 401 {SECRETS[0]}\r\nX-Echo: Bearer {KEY}\r\nContent-Length: 0\r\n\r\n"
    for response in (answer.encode(), f"HTTP/1.1 {SECRETS[0]}\r\n{KEY}\r\n\r\n".encode()):
        with (
            ScriptedServer(sends(response)) as server,
            source_of(server.url, KEY) as source,
            pytest.raises(VapiSessionsError),
        ):
            source.list(Query())
    logged = [record.getMessage() + repr(record.args) for record in caplog.records]
    assert any("HTTP Request: GET" in line and line.rstrip("()").endswith(" 401") for line in logged)
    assert any("receive_response_headers" in line for line in logged)
    assert [line for line in logged if KEY in line or SECRETS[0] in line or BASE in line] == []
