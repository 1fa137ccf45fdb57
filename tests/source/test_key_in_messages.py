"""The API key appears in no log, error message or repr."""

from __future__ import annotations

import logging

import pytest
from scripted import BASE, GOOD, KEY, Client, Scripted, api_error, everything_said, failure, raw_response

from servers import ScriptedServer, http_response, sends, source_of
from vapi_sessions.errors import VapiSessionsError
from vapi_sessions.source.list_query import Query


@pytest.mark.parametrize(
    "response",
    [
        http_response(GOOD.content),
        http_response(b'{"message": "no"}', status="401 Unauthorized"),
        http_response(b"oops", status="500 Internal Server Error"),
        http_response(GOOD.content)[:-30],
        b"",
    ],
    ids=["success", "401", "500", "truncated", "nothing"],
)
def test_the_key_is_in_no_log_and_no_error(response: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Even with every logger at DEBUG, including those of the transport."""
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(sends(response)) as server, source_of(server.url, KEY) as source:
        error = None
        try:
            source.list(Query())
        except VapiSessionsError as caught:
            error = caught
        assert error is None or KEY not in everything_said(error)
        assert any(f"Bearer {KEY}" in head for head in server.heads)
    logged = [record.getMessage() + repr(record.args) for record in caplog.records]
    assert any("httpcore" in record.name for record in caplog.records)
    assert not [line for line in logged if KEY in line]


def test_the_key_is_in_no_repr() -> None:
    """Neither in the client's nor in those of its parts."""
    with Client(Scripted(GOOD)) as client:
        source = client.source
        shown = [repr(source), repr(source.pace), repr(source.traffic), repr(vars(source))]
        assert BASE in shown[0]
        assert KEY not in "".join(shown)


def test_a_key_in_an_error_of_the_source_is_hidden() -> None:
    """Error messages are logged, and published with the record of runs."""
    errors = [failure(api_error(status, f"Invalid key {KEY}")) for status in (400, 401, 403, 404, 409, 500)]
    assert [error for error in errors if KEY in everything_said(error)] == []


@pytest.mark.parametrize("apart", ["", "\u200b"])
def test_no_part_of_a_key_remains_when_a_message_is_cut(apart: str) -> None:
    """Wherever the cut is, and even with an invisible character within the key."""
    key = KEY[:3] + apart + KEY[3:]
    for before in range(100, 170):
        texts = [api_error(401, "x" * before + key), raw_response(401, "x" * before + key, "text/plain")]
        assert [error for error in map(failure, texts) if KEY[:4] in everything_said(error)] == []


def test_a_content_type_is_quoted_like_other_text_of_the_source() -> None:
    """Without the key, and cut."""
    error = failure(raw_response(200, "x", "x" * 150 + KEY))
    assert KEY[:4] not in everything_said(error)
    assert len(str(failure(raw_response(200, "x", "x" * 5_000)))) < 500
