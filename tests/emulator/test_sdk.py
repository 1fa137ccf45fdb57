"""The vendor's own Python client, against the emulator."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_emulator.times import to_us

from .conftest import NOW, Client, FakeClock, connect

pytestmark = [
    pytest.mark.proof,
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]

TOTAL = 45
UNKNOWN = "00000000-0000-4000-8000-00000000dead"


@functools.cache
def library() -> Any:
    """The package of the client, which takes seconds to import and emits warnings meanwhile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import vapi.core.api_error
    return vapi


def sdk_for(client: Client) -> Any:
    return library().Vapi(token=client.server.key, base_url=client.server.url, httpx_client=client)


@pytest.fixture
def sdk(client: Client) -> Any:
    return sdk_for(client)


@pytest.fixture(scope="module")
def reading() -> Iterator[Any]:
    """A client of a server with a small history, because the client parses slowly."""
    with EmulatorServer(clock=FakeClock()) as server, connect(server) as client:
        fill(
            server.store, History(org_id=server.org_id, sessions=TOTAL, days=20, until_us=to_us(NOW), seed=7)
        )
        yield sdk_for(client)


@pytest.fixture(scope="module")
def rows(reading: Any) -> list[Any]:
    return reading.sessions.list(limit=1000).results


def test_create_get_update_delete(sdk: Any) -> None:
    """The life of a session in the client's own types."""
    vapi = library()
    calls = [
        vapi.ToolCall(id="1", type="function", function=vapi.ToolCallFunction(name="f", arguments='{"a": 1}'))
    ]
    created = sdk.sessions.create(
        name="Order",
        status="active",
        expiration_seconds=3600,
        assistant_id="a-1",
        customer=vapi.CreateCustomerDto(number="+14155550100", name="Ava"),
        messages=[
            vapi.AssistantMessage(role="assistant", content="Hello", tool_calls=calls),
            vapi.ToolMessage(role="tool", tool_call_id="1", content="42"),
        ],
    )
    assert (created.name, created.status, created.expiration_seconds) == ("Order", "active", 3600)
    assert created.customer.number == "+14155550100"
    assert created.messages[0].tool_calls[0].function.arguments == '{"a": 1}'
    assert sdk.sessions.get(created.id) == created
    updated = sdk.sessions.update(created.id, status="completed", messages=created.messages[:1])
    assert (updated.status, len(updated.messages), updated.name) == ("completed", 1, "Order")
    assert sdk.sessions.delete(created.id).id == created.id
    with pytest.raises(library().core.api_error.ApiError) as caught:
        sdk.sessions.get(created.id)
    assert caught.value.status_code == 404


def test_errors_arrive_with_status_and_body(client: Client) -> None:
    """401, 404 and 400, as the client's `ApiError`."""
    refused = library().Vapi(token="wrong", base_url=client.server.url, httpx_client=client)
    client.headers.pop("authorization")
    with pytest.raises(library().core.api_error.ApiError) as caught:
        refused.sessions.list()
    assert (caught.value.status_code, caught.value.body["error"]) == (401, "Unauthorized")
    for call in (refused.sessions.get, refused.sessions.delete):
        with pytest.raises(library().core.api_error.ApiError):
            call(UNKNOWN)
    with pytest.raises(library().core.api_error.ApiError) as caught:
        sdk_for(client).sessions.create(name="x" * 41)
    assert caught.value.status_code == 400


def test_the_list_is_parsed(reading: Any) -> None:
    """Results and metadata, page by page."""
    first = reading.sessions.list(limit=20)
    assert (first.metadata.total_items, first.metadata.current_page, len(first.results)) == (TOTAL, 1, 20)
    last = reading.sessions.list(limit=20, page=3)
    assert len(last.results) == 5
    assert not {row.id for row in first.results} & {row.id for row in last.results}


@pytest.mark.parametrize(
    ("filters", "get"),
    [
        ("name", lambda row: row.name),
        ("assistant_id", lambda row: row.assistant_id),
        ("squad_id", lambda row: row.squad_id),
        ("number", lambda row: row.customer and row.customer.number),
        ("sip_uri", lambda row: row.customer and row.customer.sip_uri),
        ("email", lambda row: row.customer and row.customer.email),
        ("external_id", lambda row: row.customer and row.customer.external_id),
        ("extension", lambda row: row.customer and row.customer.extension),
    ],
)
def test_each_filter_of_the_client_works(reading: Any, rows: list[Any], filters: str, get: Any) -> None:
    """Each filter gives the same sessions as comparing the field."""
    wanted = next(value for row in rows if (value := get(row)))
    found = reading.sessions.list(**{filters: wanted}).results
    assert {row.id for row in found} == {row.id for row in rows if get(row) == wanted}


def test_the_other_parameters_of_the_client_work(reading: Any) -> None:
    """Parameters without a field of their own in the response."""
    assert reading.sessions.list(workflow_id="w").results == []
    assert reading.sessions.list(assistant_overrides='{"variableValues": {}}').results == []
    checked = reading.sessions.list(number_e_164_check_enabled=True, limit=1).metadata.total_items
    unchecked = reading.sessions.list(number_e_164_check_enabled=False, limit=1).metadata.total_items
    assert checked > unchecked > 0
    ascending = reading.sessions.list(sort_order="ASC", limit=2).results
    assert ascending[0].created_at <= ascending[1].created_at


@pytest.mark.parametrize("field", ["created_at", "updated_at"])
def test_the_bounds_of_the_client_work(reading: Any, field: str) -> None:
    """Datetimes in the client's own encoding; opposite operators give complementary totals."""
    moment = datetime(2026, 2, 24, 12, tzinfo=UTC)

    def total(operator: str) -> float:
        return reading.sessions.list(limit=1, **{f"{field}_{operator}": moment}).metadata.total_items

    assert total("lt") + total("ge") == total("le") + total("gt") == TOTAL
    assert 0 < total("lt") < TOTAL
