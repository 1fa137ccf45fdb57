"""What the source says in an error goes where messages go: without credentials, without our key in any spelling, and short."""

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
from test_client import BASE, GOOD, KEY, Fixture, Scripted, failure, over_the_wire, said, text

from conftest import KEY as EMULATED
from conftest import Notes, World
from models import RawServer
from selection import examples, some
from vapi_sessions.errors import ConfigurationError, SourceRefusedError, VapiSessionsError
from vapi_sessions.operations import sync
from vapi_sessions.privacy.own_key import OwnKey
from vapi_sessions.source.client import Query, Source

__all__ = ["over_the_wire"]  # a fixture

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
    "its beginning": lambda key: key[:8],
    "its end": lambda key: f"…{key[-8:]}",
    "wrapped": lambda key: f"{key[:9]}\r\n   {key[9:]}",
    "with zero widths": lambda key: "\u200b".join(key),
    "full width": lambda key: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in key),
}


def shares(key: str, text: str) -> list[str]:
    """Stretches of eight characters of the key, or of its forms, that can still be read."""
    forms = [key, key.encode().hex(), *(_base64("x" * n + key)[4:-4] for n in range(3))]
    return [f[n : n + 8] for f in forms for n in range(len(f) - 7) if f[n : n + 8].lower() in text.lower()]


@pytest.mark.parametrize("key", [KEY, UUID, "sk/a+b=c~d.e_f-gh"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_key_in_any_spelling_is_hidden(spelling: Callable[[str], str], key: str) -> None:
    """And what is around it stays."""
    hidden = OwnKey(key).hide(f"Invalid token 'Bearer {spelling(key)}' of today")
    assert hidden.startswith("Invalid token 'Bearer ")
    assert hidden.endswith("' of today")
    assert "***" in hidden
    assert shares(key, hidden) == []


@given(st.text(), st.sampled_from([UUID, KEY]))
@examples(200)
def test_other_texts_stay_as_they_are(text: str, key: str) -> None:
    """Whatever they hold."""
    assert OwnKey(key).hide(text) is text


def test_short_keys_are_hidden_whole() -> None:
    """They are no real ones, but a test's."""
    assert OwnKey("k").hide("token k, mask") == "to***en ***, mas***"
    assert OwnKey("abc").hide("token abc, ab") == "token ***, ab"
    assert KEY not in repr(OwnKey(KEY))


@pytest.mark.parametrize("spelling", some(SPELLINGS.values(), SPELLINGS["JSON"]))
@pytest.mark.parametrize("status", [400, 418])
def test_an_error_of_the_source_repeats_no_key(status: int, spelling: Callable[[str], str]) -> None:
    """In a JSON body or a plain one."""
    for answer in (said(status, f"bad {spelling(KEY)}"), text(status, f"bad {spelling(KEY)}", "text/plain")):
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
    "a message": (said(400, ECHO), SourceRefusedError),
    "several messages": (said(400, [ECHO, {"a": ECHO}]), SourceRefusedError),
    "plain text": (text(401, ECHO, "text/plain"), SourceRefusedError),
    "JSON of another form": (httpx.Response(500, json=[ECHO]), VapiSessionsError),
    "a page's title": (text(403, f"<html><title>{ECHO}</title>"), SourceRefusedError),
    "a heading of a gateway": (text(502, f"<html><h1>{ECHO}</h1>"), VapiSessionsError),
    "another host": (text(302, "", location=f"https://{SECRETS[0]}.example/"), SourceRefusedError),
    "a content type": (text(200, "x", f"text/{SECRETS[0]}"), VapiSessionsError),
}


@pytest.mark.parametrize(("answer", "kind"), WAYS.values(), ids=WAYS)
def test_an_error_of_the_source_repeats_no_credential(
    answer: httpx.Response, kind: type[VapiSessionsError]
) -> None:
    """By whatever way its text comes into a message, or into the reason of a wait."""
    with Fixture(Scripted(answer)) as fixture:
        with pytest.raises(kind) as caught:
            fixture.source.list(Query())
        shown = str(caught.value) + repr(fixture.waits)
    assert [secret for secret in SECRETS if secret in shown or secret.lower() in shown] == []
    assert len(caught.value.fact) < 400


def test_a_text_is_cut_and_on_one_line() -> None:
    """Also a long one, and one whose secret lies where it is cut."""
    error = failure(said(400, "\x1b[31mno\n\r\t" + "word " * 20_000))
    assert '(400: "[31mno word ' in error.fact
    assert len(error.fact) < 260
    for before in range(140, 165):
        assert "9Qw3Er" not in failure(said(400, f"{'x' * before} {SECRETS[0]}")).fact


def test_the_organisation_of_a_session_may_be_any_text() -> None:
    """It is told where the key is another organisation's."""
    theirs = f"{EMULATED[:12]}\x1b[2J" + "o" * 10_000

    with Fixture(Scripted(GOOD)) as fixture:
        shown = fixture.source.shown(f"{KEY} {theirs}")
    assert shown.startswith("*** a-key-that-m")
    assert len(shown) == 160
    assert shown.isprintable()


def test_the_ledger_keeps_what_was_cleaned(world: World) -> None:
    """In both databases, and in what a person is told."""
    world.insert(3, lambda n: (world.ago(hours=1),) * 2)
    world.sync()
    echo = f"bad key {EMULATED} or {_base64('Bearer ' + EMULATED)}, {ECHO}"

    class Refusing(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return said(401, echo)

    environment = sync.Environment(
        now=world.clock.us, monotonic=world.clock.monotonic, sleep=world.clock.sleep, transport=Refusing()
    )
    notes = Notes()
    with pytest.raises(SourceRefusedError) as caught:
        sync.sync(world.settings(), environment=environment, progress=notes)
    ((error,),) = world.rows("SELECT error FROM sync.runs WHERE outcome = 'failed'")
    assert error == caught.value.fact
    for file in (world.warehouse / "vapi.duckdb", world.warehouse / "index.duckdb"):
        content = file.read_bytes()
        assert b"OpenAI says [redacted]" in content
        assert [s for s in (EMULATED, *SECRETS, "QmVhcmVyI" + "GEta2V5") if s.encode() in content] == []


def test_another_organisation_is_told_without_what_its_name_hides(world: World) -> None:
    """All three commands that compare ask the client what may be shown."""
    world.insert(1, lambda n: (world.ago(hours=1),) * 2)
    world.sync()
    server = world.server.org_id
    odd = f"{EMULATED}\x1b[31m{server}"
    page = {"results": [], "metadata": {"totalItems": 1, "itemsPerPage": 1, "currentPage": 1}}
    page["results"] = [
        {"id": "s", "orgId": odd, "createdAt": "2026-03-01T00:00:00.000Z", "updatedAt": "2026-03-01T00:00:00.000Z"}
    ]  # fmt: skip
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=page))
    environment = sync.Environment(
        now=world.clock.us, monotonic=world.clock.monotonic, sleep=world.clock.sleep, transport=transport
    )
    with pytest.raises(ConfigurationError, match="belongs to organisation") as caught:
        sync.sync(world.settings(), environment=environment)
    assert EMULATED not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_no_log_line_repeats_the_source(
    over_the_wire: Callable[[RawServer], Source], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the words of its status line nor its headers nor what cannot be read, with every logger at DEBUG."""
    caplog.set_level(logging.DEBUG)
    answer = f"HTTP/1.1 401 {SECRETS[0]}\r\nX-Echo: Bearer {KEY}\r\nContent-Length: 0\r\n\r\n"
    for behaviour in (answer.encode(), f"HTTP/1.1 {SECRETS[0]}\r\n{KEY}\r\n\r\n".encode()):
        with RawServer(behaviour) as server, pytest.raises(VapiSessionsError):
            over_the_wire(server).list(Query())
    logged = [record.getMessage() + repr(record.args) for record in caplog.records]
    assert any("HTTP Request: GET" in line and line.rstrip("()").endswith(" 401") for line in logged)
    assert any("receive_response_headers" in line for line in logged)
    assert [line for line in logged if KEY in line or SECRETS[0] in line or BASE in line] == []
