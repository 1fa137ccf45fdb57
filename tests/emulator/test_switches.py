"""Each open question of the contract, with every setting of its switch."""

from __future__ import annotations

from typing import Any

import pytest

from vapi_emulator import EmulatorError
from vapi_emulator.switches import EmulatorSettings, FaultSettings

from .conftest import Client, FakeClock, Serve


def add(client: Client, count: int = 1, **fields: Any) -> list[str]:
    return [client.post("/session", json=fields).json()["id"] for _ in range(count)]


def metadata(client: Client, **parameters: Any) -> dict[str, Any]:
    return client.get("/session", params=parameters).json()["metadata"]


@pytest.mark.parametrize(("switch", "rows", "told"), [("empty", 0, 0), ("default", 3, 100)])
def test_limit_zero_gives_no_rows_or_the_default(serve: Serve, switch: str, rows: int, told: int) -> None:
    """`limit=0` gives no rows, or counts as not given."""
    client = serve(limit0=switch)
    add(client, 3)
    answer = client.get("/session?limit=0").json()
    assert (len(answer["results"]), answer["metadata"]["itemsPerPage"]) == (rows, told)
    assert answer["metadata"]["totalItems"] == 3


def test_limit_zero_can_be_refused(serve: Serve) -> None:
    """The response is a 400."""
    assert serve(limit0="reject").get("/session?limit=0").json()["message"] == [
        "limit must not be less than 1"
    ]


def test_a_page_past_the_end_is_empty_or_refused(serve: Serve) -> None:
    """The response is an empty page with the total, or a 400."""
    client = serve()
    add(client, 3)
    answer = client.get("/session?page=2").json()
    assert (answer["results"], answer["metadata"]["totalItems"]) == ([], 3)
    client.server.configure(past_end="reject")
    assert client.get("/session?page=2").status_code == 400
    assert client.get("/session?page=1").status_code == 200


@pytest.mark.parametrize(
    ("switch", "status", "moved"),
    [("none", "active", False), ("status", "completed", False), ("status+updatedAt", "completed", True)],
)
def test_expiry_changes_status_and_updated_at_as_switched(
    serve: Serve, clock: FakeClock, switch: str, status: str, moved: bool
) -> None:
    """After `expirationSeconds` the status changes or not, and `updatedAt` moves with it or not."""
    client = serve(expiry=switch)
    (session_id,) = add(client, expirationSeconds=60)
    before = client.get(f"/session/{session_id}").json()
    clock.forward(seconds=61)
    after = client.get("/session").json()["results"][0]
    assert after["status"] == status
    assert (after["updatedAt"] != before["updatedAt"]) is moved


@pytest.mark.parametrize(("switch", "status"), [("creation", "completed"), ("inactivity", "active")])
def test_expiry_counts_from_the_creation_or_from_the_last_change(
    serve: Serve, clock: FakeClock, switch: str, status: str
) -> None:
    """The documentation says both; without changes they are equal."""
    client = serve(expiry="status", expires_after=switch)
    (session_id,) = add(client, expirationSeconds=60)
    clock.forward(seconds=40)
    client.patch(f"/session/{session_id}", json={"name": "again"})
    clock.forward(seconds=40)
    assert client.get(f"/session/{session_id}").json()["status"] == status
    clock.forward(seconds=21)
    assert client.get(f"/session/{session_id}").json()["status"] == "completed"


def test_expiry_under_a_commit_delay_happens_once(serve: Serve, clock: FakeClock) -> None:
    """While the expiry is not visible yet, it is not repeated."""
    client = serve(expiry="status+updatedAt", commit_delay_seconds=5)
    (session_id,) = add(client, expirationSeconds=60)
    clock.forward(seconds=61)
    for _ in range(3):
        assert client.get(f"/session/{session_id}").json()["status"] == "active"
        clock.forward(seconds=1)
    clock.forward(seconds=5)
    session = client.get(f"/session/{session_id}").json()
    assert (session["status"], session["updatedAt"]) == ("completed", "2026-03-04T15:31:01.123Z")


def test_silent_retention_hides_old_sessions(serve: Serve, clock: FakeClock) -> None:
    """Sessions that are too old are neither listed nor counted nor found by id."""
    client = serve(retention_days=7)
    (old,) = add(client)
    clock.forward(days=8)
    add(client)
    assert metadata(client) == {"itemsPerPage": 100, "totalItems": 1, "currentPage": 1}
    assert client.get(f"/session/{old}").status_code == 404


def test_retention_can_refuse_requests(serve: Serve, clock: FakeClock) -> None:
    """A request beyond the retention gets a 400 that names the days and the date; one within it does not."""
    client = serve(retention_days=7, retention_style="400")
    (old,) = add(client)
    clock.forward(days=8)
    response = client.get("/session?createdAtGe=2026-03-04T00:00:00Z")
    assert response.status_code == 400
    assert "only covers the last 7 days" in response.json()["message"]
    assert "2026-03-05" in response.json()["message"]
    assert client.get(f"/session/{old}").status_code == 400
    assert client.get("/session?createdAtGe=2026-03-06T00:00:00Z").status_code == 200
    assert client.get("/session").status_code == 200


def test_retention_can_be_flagged_in_the_metadata(serve: Serve, clock: FakeClock) -> None:
    """The metadata tell that there are older sessions, and show a later bound than the requested one."""
    client = serve(retention_days=7, retention_style="flag")
    add(client)
    assert metadata(client)["itemsBeyondRetention"] is False
    clock.forward(days=8)
    told = metadata(client, createdAtGe="2026-01-01T00:00:00Z")
    assert (told["itemsBeyondRetention"], told["totalItems"]) == (True, 0)
    assert told["createdAtGe"] == "2026-03-05T15:30:00.123Z"


def test_unknown_parameters_can_be_ignored(serve: Serve) -> None:
    """By default they get a 400."""
    assert serve(unknown_parameters="ignore").get("/session?foo=1").status_code == 200


def test_ties_can_have_another_order_each_time(serve: Serve) -> None:
    """Only rows with equal sort keys are shuffled."""
    client = serve(ties="shuffled")
    add(client, 30)
    orders = {tuple(row["id"] for row in client.get("/session").json()["results"]) for _ in range(5)}
    assert len(orders) > 1
    client.server.configure(ties="stable")
    assert len({client.get("/session").text for _ in range(5)}) == 1


def test_shuffled_ties_keep_the_order_of_different_keys(serve: Serve, clock: FakeClock) -> None:
    """Rows with different times stay in order."""
    client = serve(ties="shuffled")
    for _ in range(20):
        add(client)
        clock.forward(milliseconds=1)
    created = [row["createdAt"] for row in client.get("/session?sortOrder=ASC").json()["results"]]
    assert created == sorted(created)


@pytest.mark.parametrize(
    ("switch", "found"), [("session", ["one"]), ("customer", ["two"]), ("either", ["one", "two"])]
)
def test_name_filters_the_switched_field(serve: Serve, switch: str, found: list[str]) -> None:
    """The contract declares `name` twice."""
    client = serve(name_filter=switch)
    add(client, name="x", customer={"externalId": "one"})
    add(client, name="y", customer={"name": "x", "externalId": "two"})
    rows = client.get("/session?name=x").json()["results"]
    assert sorted(row["customer"]["externalId"] for row in rows) == found


def test_a_page_can_be_capped_below_the_limit(serve: Serve) -> None:
    """A page with fewer rows than requested is not the last one."""
    client = serve(page_cap=2)
    add(client, 3)
    answer = client.get("/session?limit=1000").json()
    assert (len(answer["results"]), answer["metadata"]["itemsPerPage"]) == (2, 2)
    assert len(client.get("/session?limit=1000&page=2").json()["results"]) == 1


def test_optional_metadata_can_be_switched_on(serve: Serve) -> None:
    """The metadata have all optional fields."""
    client = serve(optional_metadata=True)
    add(client, 3)
    told = metadata(client, limit=2, createdAtGe="2026-01-01", createdAtLe="2027-01-01")
    assert told["nextCursor"]
    del told["nextCursor"]
    assert told == {
        "itemsPerPage": 2,
        "totalItems": 3,
        "currentPage": 1,
        "totalPages": 2,
        "hasNextPage": True,
        "sortOrder": "DESC",
        "createdAtGe": "2026-01-01T00:00:00.000Z",
        "createdAtLe": "2027-01-01T00:00:00.000Z",
    }
    assert metadata(client, limit=2, page=2)["hasNextPage"] is False


def test_the_store_can_keep_milliseconds_only(serve: Serve) -> None:
    """Then the stored time is the shown one."""
    client = serve(sub_millisecond=False)
    add(client)
    assert metadata(client, createdAtLe="2026-03-04T15:30:00.123Z")["totalItems"] == 1
    client = serve()
    add(client)
    assert metadata(client, createdAtLe="2026-03-04T15:30:00.123Z")["totalItems"] == 0


def test_a_write_can_stay_invisible_for_a_while(serve: Serve, clock: FakeClock) -> None:
    """Creations, updates and deletions appear later, with the timestamps of the writes."""
    client = serve(commit_delay_seconds=5)
    (session_id,) = add(client, name="first")
    assert metadata(client)["totalItems"] == 0
    clock.forward(seconds=1)
    client.patch(f"/session/{session_id}", json={"name": "second"})
    clock.forward(seconds=4)
    assert client.get(f"/session/{session_id}").json()["name"] == "first"
    clock.forward(seconds=1)
    session = client.get(f"/session/{session_id}").json()
    assert (session["name"], session["updatedAt"]) == ("second", "2026-03-04T15:30:01.123Z")
    assert client.delete(f"/session/{session_id}").status_code == 200
    assert client.patch(f"/session/{session_id}", json={"name": "third"}).status_code == 404
    assert client.get(f"/session/{session_id}").status_code == 200
    clock.forward(seconds=5)
    assert client.get(f"/session/{session_id}").status_code == 404


def test_the_date_header_can_be_skewed(serve: Serve) -> None:
    """Sessions keep the clock's time."""
    client = serve(clock_skew_seconds=-90)
    (session_id,) = add(client)
    response = client.get(f"/session/{session_id}")
    assert response.headers["date"] == "Wed, 04 Mar 2026 15:28:30 GMT"
    assert response.json()["createdAt"] == "2026-03-04T15:30:00.123Z"


def test_a_cache_repeats_an_old_response_with_its_age(serve: Serve, clock: FakeClock) -> None:
    """The same query gets the same response, with the old `Date` and an `Age`, until it is too old."""
    client = serve(stale_cache_seconds=30)
    first = client.get("/session")
    add(client)
    clock.forward(seconds=20)
    second = client.get("/session")
    assert (second.text, second.headers["age"], second.headers["date"]) == (
        first.text,
        "20",
        first.headers["date"],
    )
    assert "age" not in first.headers
    assert client.get("/session?limit=5").json()["metadata"]["totalItems"] == 1
    clock.forward(seconds=10)
    assert client.get("/session").json()["metadata"]["totalItems"] == 1


def test_filters_and_order_can_be_ignored(serve: Serve, clock: FakeClock) -> None:
    """As by a faulty proxy: parameters are accepted but not applied; wrong values are still refused."""
    client = serve(ignored_parameters=frozenset({"updatedAtLt", "sortOrder", "phoneNumberIdAny"}))
    first, last = add(client)[0], (clock.forward(seconds=1), add(client)[0])[1]
    rows = client.get("/session?updatedAtLt=2020-01-01&sortOrder=ASC&phoneNumberIdAny=x").json()["results"]
    assert [row["id"] for row in rows] == [last, first]
    assert client.get("/session?updatedAtLt=x").status_code == 400


def test_default_user_agents_can_be_refused(serve: Serve) -> None:
    """The CDN's 403 is plain text and not an authentication failure; other user agents pass."""
    client = serve(refuse_default_user_agents=True)
    response = client.get("/session", headers={"User-Agent": "python-httpx/0.28"})
    assert (response.status_code, response.text) == (403, "error code: 1010")
    assert response.headers["content-type"].startswith("text/plain")
    assert client.get("/session", headers={"User-Agent": "my-exporter/1"}).status_code == 200


def test_lists_can_be_compressed(serve: Serve) -> None:
    """Only for clients that accept gzip."""
    client = serve(gzip=True)
    response = client.get("/session")
    assert response.headers["content-encoding"] == "gzip"
    assert response.json()["results"] == []
    assert "content-encoding" not in client.get("/session", headers={"Accept-Encoding": "identity"}).headers


@pytest.mark.parametrize(
    ("probabilities", "fact"),
    [({"flood": 0.1}, "flood"), ({"500": 2.0}, "500"), ({"500": 0.6, "502": 0.6}, "add up")],
)
def test_impossible_faults_are_refused(probabilities: dict[str, float], fact: str) -> None:
    """Unknown kinds and impossible probabilities are errors."""
    with pytest.raises(EmulatorError, match=fact):
        EmulatorSettings(faults=FaultSettings(probabilities=probabilities))
