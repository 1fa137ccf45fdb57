"""Creating, reading, updating and deleting one session, and the refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vapi_emulator.switches import DEFAULT_ORG

from .conftest import Client, FakeClock, Serve, connect

UNKNOWN = "00000000-0000-4000-8000-00000000dead"


def create(client: Client, **fields: Any) -> dict[str, Any]:
    response = client.post("/session", json=fields)
    assert response.status_code == 201, response.text
    return response.json()


def test_a_new_session_has_defaults_and_equal_timestamps(client: Client) -> None:
    """Missing fields get defaults, and both timestamps are the current time, truncated to milliseconds."""
    session = create(client)
    assert session["createdAt"] == session["updatedAt"] == "2026-03-04T15:30:00.123Z"
    assert (session["orgId"], session["status"], session["expirationSeconds"]) == (
        DEFAULT_ORG,
        "active",
        86400,
    )
    assert client.get(f"/session/{session['id']}").json() == session


def test_messages_come_back_unchanged(client: Client) -> None:
    """Text, order, tool calls, nulls, parts, unknown roles and lone surrogates survive a round trip."""
    messages = [
        {"role": "system", "content": "naïve ☃ \u0000 \ud83d end", "extra": [1, 2.50, None]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"arguments": {"a": 1}}}],
        },
        {"role": "user", "content": [{"type": "text", "text": "x" * 20_000}]},
        {"role": "martian", "message": "👽", "time": 1767323045678},
    ]
    response = client.post("/session", content=json.dumps({"messages": messages}))
    assert response.json()["messages"] == messages


def test_an_update_replaces_the_messages_and_moves_updated_at(client: Client, clock: FakeClock) -> None:
    """PATCH replaces the whole array, keeps fields that are not given, and moves only `updatedAt`."""
    old = create(
        client, name="a", messages=[{"role": "user", "content": "1"}, {"role": "user", "content": "2"}]
    )
    clock.forward(seconds=5)
    new = client.patch(f"/session/{old['id']}", json={"messages": [{"role": "user", "content": "3"}]}).json()
    assert [message["content"] for message in new["messages"]] == ["3"]
    assert (new["name"], new["createdAt"]) == ("a", old["createdAt"])
    assert new["updatedAt"] == "2026-03-04T15:30:05.123Z"


def test_updated_at_never_goes_backwards(client: Client, clock: FakeClock) -> None:
    """Also when the clock was set back."""
    old = create(client)
    clock.forward(seconds=-60)
    assert client.patch(f"/session/{old['id']}", json={"name": "x"}).json()["updatedAt"] == old["updatedAt"]


def test_delete_returns_the_session_and_removes_it(client: Client) -> None:
    """DELETE returns the last state; afterwards the id is unknown in every call."""
    session = create(client)
    assert client.delete(f"/session/{session['id']}").json() == session
    assert client.get(f"/session/{session['id']}").status_code == 404
    assert client.get("/session").json()["metadata"]["totalItems"] == 0


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_unknown_id_is_404(client: Client, method: str) -> None:
    """GET, PATCH and DELETE give the same response for an unknown id."""
    response = client.request(method, f"/session/{UNKNOWN}", json={} if method == "PATCH" else None)
    assert response.status_code == 404
    assert response.json() == {"message": "Session Not Found", "error": "Not Found", "statusCode": 404}


def test_an_id_that_is_not_a_uuid_is_400(client: Client) -> None:
    """The path is checked before the store is read."""
    response = client.get("/session/nonsense")
    assert response.status_code == 400
    assert response.json()["message"] == "Validation failed (uuid is expected)"


def test_a_wrong_key_is_401_with_the_recorded_body(client: Client) -> None:
    """The body is the one recorded at the source."""
    response = client.get("/session", headers={"Authorization": "Bearer wrong"})
    assert response.status_code == 401
    assert response.json()["message"] == (
        "Invalid Key. Hot tip, you may be using the private key instead of the public key, or vice versa."
    )
    assert client.get("/session", headers={"Authorization": "Basic emulator-key"}).status_code == 401


def test_an_organisation_that_must_pay_is_402(client: Client) -> None:
    """The setting can change while the server runs."""
    client.server.configure(must_pay=frozenset({DEFAULT_ORG}))
    response = client.get("/session")
    assert (response.status_code, response.json()["error"]) == (402, "Payment Required")


def test_organisations_do_not_see_each_other(serve: Serve) -> None:
    """A key gives access only to the sessions of its organisation, in lists and by id."""
    other = "0e111a70-0000-4000-8000-000000000002"
    first = serve(keys={"one": DEFAULT_ORG, "two": other})
    session = create(first)
    with connect(first.server, "two") as second:
        assert second.get("/session").json()["results"] == []
        assert second.get(f"/session/{session['id']}").status_code == 404
        assert second.delete(f"/session/{session['id']}").status_code == 404
        assert create(second)["orgId"] == other


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"nonsense": 1}, "property nonsense should not exist"),
        ({"name": "x" * 41}, "name must be shorter than or equal to 40 characters"),
        ({"name": 1}, "name must be a string"),
        ({"status": "done"}, "status must be one of the following values: active, completed"),
        ({"expirationSeconds": 59}, "expirationSeconds must not be less than 60"),
        ({"expirationSeconds": 2_592_001}, "expirationSeconds must not be greater than 2592000"),
        (
            {"expirationSeconds": "60"},
            "expirationSeconds must be a number conforming to the specified constraints",
        ),
        ({"messages": {}}, "messages must be an array"),
        ({"messages": [1]}, "each value in nested property messages must be either object or array"),
        ({"messages": [{"content": "x"}]}, "messages.0.role must be a string"),
        ({"assistant": []}, "assistant must be an object"),
        ({"assistantId": 1}, "assistantId must be a string"),
        ({"customer": 1}, "customer must be an object"),
        ({"customer": {"shoe": 1}}, "customer.property shoe should not exist"),
        ({"customer": {"number": "+1"}}, "customer.number must be longer than or equal to 3 characters"),
        ({"customer": {"email": 1}}, "customer.email must be a string"),
        (
            {"customer": {"number": "12 3", "numberE164CheckEnabled": False}},
            "customer.number must only contain alphanumeric characters",
        ),
        (
            {"customer": {"numberE164CheckEnabled": 1}},
            "customer.numberE164CheckEnabled must be a boolean value",
        ),
        ({"customer": {"squadOverrides": 1}}, "customer.squadOverrides must be an object"),
    ],
)
def test_a_bad_field_of_a_new_session_is_named(client: Client, body: dict[str, Any], complaint: str) -> None:
    """The 400 lists the errors in class-validator's words, and nothing is stored."""
    response = client.post("/session", json=body)
    assert response.status_code == 400
    assert complaint in response.json()["message"]
    assert client.server.store.count() == 0


def test_a_number_without_country_code_gets_the_hot_tip(client: Client) -> None:
    """E.164 is checked unless the customer switches the check off."""
    response = client.post("/session", json={"customer": {"number": "4155550100"}})
    assert "Hot tip" in response.json()["message"][0]
    create(client, customer={"number": "4155550100", "numberE164CheckEnabled": False})


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[]", b'{"name": NaN}', b"\xff"])
def test_a_body_that_is_not_a_json_object_is_400(client: Client, body: bytes) -> None:
    """Anything other than a JSON object is refused."""
    response = client.post("/session", content=body)
    assert (response.status_code, response.json()["error"]) == (400, "Bad Request")


def test_an_update_takes_only_the_four_declared_fields(client: Client) -> None:
    """Fields that can only be set at creation are refused."""
    session = create(client)
    response = client.patch(f"/session/{session['id']}", json={"assistantId": "a"})
    assert response.json()["message"] == ["property assistantId should not exist"]


def test_long_texts_are_refused_only_if_switched_on(serve: Serve) -> None:
    """The limit of 10,000 characters in the contract is a switch, because real conversations exceed it."""
    body = {"messages": [{"role": "assistant", "content": "x" * 10_001}]}
    client = serve()
    assert client.post("/session", json=body).status_code == 201
    client.server.configure(content_limit=True)
    assert client.post("/session", json=body).json()["message"] == [
        "messages.0.content must be shorter than or equal to 10000 characters"
    ]


def test_other_routes_and_methods_are_404(client: Client) -> None:
    """The source has no 405: an unknown method is an unknown route."""
    assert client.put("/session").json()["message"] == "Cannot PUT /session"
    assert client.get("/call").status_code == 404


def test_responses_have_the_date_of_the_clock_and_a_content_type(client: Client) -> None:
    """`Date` comes from the injected clock, in errors too."""
    for path, status in (("/session", 200), ("/session/x", 400), ("/nowhere", 404)):
        response = client.get(path)
        assert response.status_code == status
        assert response.headers["date"] == "Wed, 04 Mar 2026 15:30:00 GMT"
        assert response.headers["content-type"].startswith("application/json")
