"""The list: filters, bounds, sort orders, pages, and the refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from vapi_emulator.parameters import DECLARED
from vapi_emulator.times import iso_ms, parse_iso

from .conftest import Client, Serve

Session = dict[str, Any]


def listed(client: Client, **parameters: Any) -> list[Session]:
    response = client.get("/session", params={"limit": 1000, **parameters})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["metadata"]["totalItems"] == len(answer["results"])
    return answer["results"]


def everything(client: Client) -> list[Session]:
    return listed(client)


def at(session: Session, path: str) -> Any:
    value: Any = session
    for name in path.split("."):
        value = (value or {}).get(name)
    return value


@pytest.mark.parametrize(
    ("parameter", "path"),
    [
        ("id", "id"),
        ("name", "name"),
        ("assistantId", "assistantId"),
        ("squadId", "squadId"),
        ("phoneNumberId", "phoneNumberId"),
        ("number", "customer.number"),
        ("sipUri", "customer.sipUri"),
        ("email", "customer.email"),
        ("externalId", "customer.externalId"),
        ("extension", "customer.extension"),
    ],
)
def test_a_filter_gives_exactly_the_equal_sessions(history: Client, parameter: str, path: str) -> None:
    """Each simple filter gives the same sessions as comparing the field."""
    rows = everything(history)
    wanted = next(value for row in rows if (value := at(row, path)) is not None)
    expected = {row["id"] for row in rows if at(row, path) == wanted}
    assert {row["id"] for row in listed(history, **{parameter: wanted})} == expected
    assert len(expected) < len(rows)


@pytest.mark.parametrize(
    ("parameter", "path"),
    [("idAny", "id"), ("assistantIdAny", "assistantId"), ("customerNumberAny", "customer.number")],
)
def test_a_comma_separated_filter_gives_sessions_with_any_of_the_values(
    history: Client, parameter: str, path: str
) -> None:
    """Unknown values among them do no harm."""
    rows = everything(history)
    wanted = list(dict.fromkeys(value for row in rows if (value := at(row, path)) is not None))[:3]
    expected = {row["id"] for row in rows if at(row, path) in wanted}
    assert {row["id"] for row in listed(history, **{parameter: ",".join([*wanted, "unknown"])})} == expected


def test_several_phone_number_ids_are_repeated_parameters(history: Client) -> None:
    """`phoneNumberIdAny` is an array: one parameter for each value."""
    rows = everything(history)
    wanted = list(dict.fromkeys(row["phoneNumberId"] for row in rows if "phoneNumberId" in row))[:2]
    expected = {row["id"] for row in rows if row.get("phoneNumberId") in wanted}
    assert {row["id"] for row in listed(history, phoneNumberIdAny=wanted)} == expected


def test_the_e164_check_filter_counts_an_absent_flag_as_true(history: Client) -> None:
    """The default of the flag is true for every customer."""
    rows = [row for row in everything(history) if "customer" in row]
    for value in (True, False):
        expected = {row["id"] for row in rows if row["customer"].get("numberE164CheckEnabled", True) is value}
        found = listed(history, numberE164CheckEnabled=json.dumps(value))
        assert {row["id"] for row in found} == expected
        assert found


def test_overrides_are_compared_as_json(history: Client) -> None:
    """`assistantOverrides` finds customers with equal overrides, in any order of keys."""
    wanted = next(
        overrides for row in everything(history) if (overrides := at(row, "customer.assistantOverrides"))
    )
    reordered = dict(reversed(wanted.items()))
    assert listed(history, assistantOverrides=json.dumps(reordered))
    assert listed(history, squadOverrides=json.dumps(wanted)) == []


@pytest.mark.parametrize("field", ["createdAt", "updatedAt"])
@pytest.mark.parametrize(
    ("operator", "holds"),
    [
        ("Gt", lambda stored, bound: stored > bound),
        ("Ge", lambda stored, bound: stored >= bound),
        ("Lt", lambda stored, bound: stored < bound),
        ("Le", lambda stored, bound: stored <= bound),
    ],
)
def test_bounds_compare_the_stored_microseconds(
    serve: Serve, field: str, operator: str, holds: Callable[[int, int], bool]
) -> None:
    """Responses are truncated to milliseconds; comparisons are not."""
    client = serve()
    base = parse_iso("2026-01-02T03:04:05.678Z")
    stored = [base - 1, base, base + 1, base + 999, base + 1000]
    for us in stored:
        times = (
            {"created_us": us, "updated_us": base + 10**9}
            if field == "createdAt"
            else {"created_us": 0, "updated_us": us}
        )
        store = client.server.store
        store.add(
            {"id": f"00000000-0000-4000-8000-{us % 10**12:012d}", "orgId": client.server.org_id}, **times
        )
    found = listed(client, **{f"{field}{operator}": iso_ms(base)})
    assert len(found) == sum(holds(us, base) for us in stored)


def test_filters_and_bounds_combine_with_and(history: Client) -> None:
    """A session must match all of them."""
    rows = everything(history)
    middle = sorted(row["createdAt"] for row in rows)[200]
    assistant = rows[0].get("assistantId") or next(row["assistantId"] for row in rows if "assistantId" in row)
    expected = {
        row["id"] for row in rows if row["createdAt"] >= middle and row.get("assistantId") == assistant
    }
    found = listed(history, createdAtGe=middle, assistantId=assistant, updatedAtGe=middle)
    assert {row["id"] for row in found} == expected


@pytest.mark.parametrize(
    "text", ["2026-02-20", "2026-02-20T00:00:00Z", "2026-02-20T01:00:00+01:00", "2026-02-20T00:00:00"]
)
def test_a_bound_may_be_any_iso_8601_text(history: Client, text: str) -> None:
    """Dates without time, with an offset or without a zone (UTC) mean the same time."""
    assert len(listed(history, createdAtGe=text)) == len(
        listed(history, createdAtGe="2026-02-20T00:00:00.000Z")
    )


def test_the_default_is_the_newest_hundred(history: Client) -> None:
    """Without parameters: 100 rows by `createdAt`, newest first."""
    answer = history.get("/session").json()
    created = [row["createdAt"] for row in answer["results"]]
    assert created == sorted(created, reverse=True)
    assert answer["metadata"] == {"itemsPerPage": 100, "totalItems": 400, "currentPage": 1}
    assert len(created) == 100


def test_pages_give_each_session_once(history: Client) -> None:
    """While nothing changes, the pages together have each row exactly once."""
    seen = [
        row["id"]
        for page in range(1, 6)
        for row in history.get("/session", params={"page": page, "limit": 90, "sortOrder": "ASC"}).json()[
            "results"
        ]
    ]
    assert len(seen) == len(set(seen)) == 400


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_sorting_by_cost_treats_null_as_the_largest(history: Client, order: str) -> None:
    """PostgreSQL's rule: pending costs are last when ascending, first when descending."""
    costs = [row.get("cost") for row in listed(history, sortBy="cost", sortOrder=order)]
    keys = [float("inf") if cost is None else cost for cost in costs]
    assert keys == sorted(keys, reverse=order == "DESC")
    assert None in costs


def test_sorting_by_duration_is_another_order(history: Client) -> None:
    """`duration` is accepted; responses do not show the field."""
    by_duration = [row["id"] for row in listed(history, sortBy="duration", sortOrder="ASC")]
    assert by_duration != [row["id"] for row in listed(history, sortOrder="ASC")]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"foo": "1"}, "property foo should not exist"),
        ({"cursor": "x"}, "property cursor should not exist"),
        ({"nextCursor": "x"}, "property nextCursor should not exist"),
        ({"page": "0"}, "page must not be less than 1"),
        ({"page": "1.5"}, "page must be an integer number"),
        ({"page": "x"}, "page must be a number conforming to the specified constraints"),
        ({"page": "NaN"}, "page must be a number conforming to the specified constraints"),
        ({"limit": "-1"}, "limit must not be less than 0"),
        ({"limit": "1001"}, "limit must not be greater than 1000"),
        ({"limit": ""}, "limit must be a number conforming to the specified constraints"),
        ({"sortOrder": "asc"}, "sortOrder must be one of the following values: ASC, DESC"),
        ({"sortBy": "updatedAt"}, "sortBy must be one of the following values: createdAt, duration, cost"),
        ({"createdAtGe": "yesterday"}, "createdAtGe must be a valid ISO 8601 date string"),
        ({"updatedAtLt": "2026-13-01"}, "updatedAtLt must be a valid ISO 8601 date string"),
        ({"createdAtGe": ""}, "createdAtGe must be a valid ISO 8601 date string"),
        ({"number": "+1"}, "number must be longer than or equal to 3 characters"),
        ({"extension": "12345678901"}, "extension must be shorter than or equal to 10 characters"),
        ({"name": "x" * 41}, "name must be shorter than or equal to 40 characters"),
        ({"name": ["a", "b"]}, "name must be a string"),
        ({"numberE164CheckEnabled": "yes"}, "numberE164CheckEnabled must be a boolean value"),
        ({"assistantOverrides": "[]"}, "assistantOverrides must be an object"),
        ({"squadOverrides": "x"}, "squadOverrides must be an object"),
    ],
)
def test_a_bad_parameter_is_named(history: Client, parameters: dict[str, Any], complaint: str) -> None:
    """The 400 has a sentence for each wrong parameter."""
    response = history.get("/session", params=parameters)
    assert response.status_code == 400
    assert response.json() == {"message": [complaint], "error": "Bad Request", "statusCode": 400}


def test_a_400_lists_all_complaints(history: Client) -> None:
    assert len(history.get("/session?x=1&y=2&limit=2000&createdAtLt=no").json()["message"]) == 4


@pytest.mark.parametrize("page", ["1e3", "99999999999999999999", "2.0"])
def test_numbers_are_read_as_in_javascript(history: Client, page: str) -> None:
    """`2.0` and `1e3` are whole numbers; a huge page is past the end."""
    assert history.get("/session", params={"page": page}).status_code == 200


def test_the_declared_parameters_are_the_documented_ones() -> None:
    """No parameter is accepted by accident, especially no cursor and no sort on `updatedAt`."""
    assert len(DECLARED) == 30
    assert not any("ursor" in name for name in DECLARED)
