"""One session requested by its id, and what proves that it is deleted."""

from __future__ import annotations

from urllib.parse import unquote

import httpx
import pytest
from scripted import Client, Scripted, api_error, raw_response, session

from constants import EPOCH
from vapi_sessions.errors import SourceUnavailableError, VapiSessionsError


def test_a_session_has_the_time_and_number_of_its_request() -> None:
    """One request, by id."""
    handler = Scripted(httpx.Response(200, json=session(5)))
    with Client(handler) as client:
        row, requested_at, seq = client.source.get("session-5")
    assert row is not None
    assert (row.session_id, requested_at, seq) == ("session-5", EPOCH, 1)
    assert handler.requests[0].url.path == "/session/session-5"


def test_any_id_is_encoded_in_the_path() -> None:
    """A 404 to a wrong path would prove nothing."""
    ids = ["plain-1", "a b", "é", "a/b", "a?b", "a#b", "a%2Fb"]
    handler = Scripted(httpx.Response(200, json=session(5)))
    with Client(handler) as client:
        for session_id in ids:
            client.source.get(session_id)
    paths = [request.url.raw_path.decode().removeprefix("/session/") for request in handler.requests]
    assert [unquote(path) for path in paths if "/" not in path] == ids


def test_a_404_of_the_api_proves_that_a_session_is_deleted() -> None:
    """The result is None."""
    with Client(Scripted(api_error(404, "Not Found"))) as client:
        assert client.source.get("session-5") == (None, EPOCH, 1)


@pytest.mark.parametrize(
    "answer",
    [
        raw_response(404, "<html>no such page</html>"),
        raw_response(404, ""),
        raw_response(404, "not found", "text/plain"),
        raw_response(404, '{"statusCode":404,"mess', "application/json"),
        raw_response(404, "", "application/json"),
        raw_response(404, "[]", "application/json"),
    ],
    ids=["HTML", "empty", "plain text", "truncated", "empty JSON", "a list"],
)
def test_a_404_that_is_not_the_apis_own_proves_nothing(answer: httpx.Response) -> None:
    """A proxy that does not know the path says nothing about the session."""
    with Client(Scripted(answer)) as client, pytest.raises(SourceUnavailableError):
        client.source.get("session-5")


@pytest.mark.parametrize("status", [401, 402, 403, 500])
def test_other_errors_do_not_prove_that_a_session_is_deleted(status: int) -> None:
    """Only a 404 does."""
    with Client(Scripted(api_error(status, "no"))) as client, pytest.raises(VapiSessionsError):
        client.source.get("session-5")
