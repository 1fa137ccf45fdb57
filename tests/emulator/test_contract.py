"""The emulator against the vendor's OpenAPI document: requests that it declares are accepted, responses are valid.

The document is read with three corrections. `oneOf` becomes `anyOf`: message variants have no discriminator, and a user
message is a valid system message too. `nullable` is applied. Patterns are JavaScript literals (`/…/`) without slashes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vapi_emulator.generate import History, fill
from vapi_emulator.live import LiveTraffic
from vapi_emulator.parameters import DECLARED
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import EmulatorSettings
from vapi_emulator.times import to_us

from .conftest import NOW, Client, FakeClock, connect

Document = dict[str, Any]


def corrected(schema: Any) -> Any:
    if isinstance(schema, list):
        return [corrected(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    fixed = {"anyOf" if name == "oneOf" else name: corrected(part) for name, part in schema.items()}
    if fixed.get("nullable") is True and isinstance(fixed.get("type"), str):
        fixed["type"] = [fixed["type"], "null"]
    if isinstance(fixed.get("pattern"), str):
        fixed["pattern"] = fixed["pattern"].strip("/")
    return fixed


@pytest.fixture(scope="module")
def document(shared: Path) -> Document:
    return json.loads((shared / "api" / "sessions-openapi-2026-08.json").read_text())


@pytest.fixture(scope="module")
def schemas(document: Document) -> Document:
    return {"components": corrected(document["components"])}


def validate(schemas: Document, name: str, value: Any) -> None:
    jsonschema.Draft7Validator({**schemas, "allOf": [{"$ref": f"#/components/schemas/{name}"}]}).validate(
        value
    )


@pytest.fixture(scope="module")
def declared() -> Iterator[Client]:
    """A server with only declared shapes, after some traffic."""
    settings = EmulatorSettings(optional_metadata=True)
    with EmulatorServer(settings, clock=FakeClock()) as server, connect(server) as client:
        fill(
            server.store,
            History(org_id=server.org_id, sessions=150, days=10, until_us=to_us(NOW), oddities=False),
        )
        LiveTraffic(server.store, server.org_id, oddities=False).steps(100)
        yield client


def test_the_list_is_valid(declared: Client, schemas: Document) -> None:
    """Every field of every session is valid, and the metadata with all optional fields."""
    answer = declared.get("/session?limit=1000&createdAtGe=2026-01-01&createdAtLe=2027-01-01").json()
    validate(schemas, "SessionPaginatedResponse", answer)
    assert len(answer["results"]) > 100


def test_single_sessions_are_valid(declared: Client, schemas: Document) -> None:
    """Sessions that are created, read, changed and deleted."""
    body = {
        "name": "x",
        "messages": [{"role": "assistant", "content": "Hi"}],
        "customer": {"number": "+14155550100"},
    }
    validate(schemas, "CreateSessionDTO", body)
    created = declared.post("/session", json=body).json()
    path = f"/session/{created['id']}"
    for response in (
        declared.get(path),
        declared.patch(path, json={"status": "completed"}),
        declared.delete(path),
    ):
        assert response.status_code == 200
        validate(schemas, "Session", response.json())
    validate(schemas, "Session", created)


def test_the_declared_parameters_are_exactly_ours(document: Document) -> None:
    """None is missing, and none is invented."""
    names = {parameter["name"] for parameter in document["paths"]["/session"]["get"]["parameters"]}
    assert names == DECLARED


def test_every_declared_parameter_is_accepted(declared: Client, document: Document) -> None:
    """Each alone and all together, with a value of the declared type; undeclared ones get a 400."""
    together: dict[str, Any] = {}
    for parameter in document["paths"]["/session"]["get"]["parameters"]:
        schema = parameter["schema"]
        if "allOf" in parameter:
            value: Any = "{}"
        elif schema.get("format") == "date-time":
            value = "2026-02-28T00:00:00.000Z"
        elif "enum" in schema:
            value = schema["enum"][-1]
        else:
            value = {"boolean": "true", "number": 1, "string": "some-text", "array": ["a", "b"]}[
                schema["type"]
            ]
            value = "+1415" if parameter["name"] == "extension" else value
        response = declared.get("/session", params={parameter["name"]: value})
        assert response.status_code == 200, (parameter["name"], response.text)
        together[parameter["name"]] = value
    assert declared.get("/session", params=together).status_code == 200
    for name in ("cursor", "updatedAt", "status", "customerId", "Limit", "limit[]"):
        assert declared.get("/session", params={name: "1"}).json()["message"] == [
            f"property {name} should not exist"
        ]


def test_the_limits_of_bodies_are_the_declared_ones(declared: Client, document: Document) -> None:
    """Each declared field is accepted, and each limit holds exactly."""
    schemas = document["components"]["schemas"]
    for name in ("CreateSessionDTO", "UpdateSessionDTO"):
        expiration = schemas[name]["properties"]["expirationSeconds"]
        for seconds, status in (
            (expiration["minimum"], 201),
            (expiration["minimum"] - 1, 400),
            (expiration["maximum"], 201),
            (expiration["maximum"] + 1, 400),
        ):
            assert declared.post("/session", json={"expirationSeconds": seconds}).status_code == status
    length = schemas["CreateSessionDTO"]["properties"]["name"]["maxLength"]
    assert declared.post("/session", json={"name": "x" * length}).status_code == 201
    assert declared.post("/session", json={"name": "x" * (length + 1)}).status_code == 400
    values = {"string": "active", "number": 60, "array": [], None: {}}
    for name, schema in schemas["CreateSessionDTO"]["properties"].items():
        assert declared.post("/session", json={name: values[schema.get("type")]}).status_code == 201, name
