"""The views `customer_identities`, `customers` and `repeat_contacts` on small hand-made data, and on generated callers."""

import json

import pytest

from identity_model import KINDS, fill
from sql_rows import Rows, after
from vapi_emulator.generate import History, generate
from vapi_emulator.talk import customer

IDENTITIES = "SELECT identity, kind, customer_key, session_count, linked_identity_count, shared FROM customer_identities ORDER BY ALL"


def test_a_session_with_both_joins_an_id_and_a_number(rows: Rows) -> None:
    """Sessions with only one of them belong to the same customer, before and after."""
    rows.session("s1", customer_number="+1 555 0100")
    rows.session("s2", customer_id="c", customer_number="+15550100", created_at=after(60))
    rows.session("s3", customer_id="c", created_at=after(120))
    rows.session("s4", customer_number="+15550199", created_at=after(180))
    assert rows.run(IDENTITIES) == [
        ("id:c", "id", "id:c", 2, 1, False),
        ("number:+15550100", "number", "id:c", 2, 1, False),
        ("number:+15550199", "number", "number:+15550199", 1, 0, False),
    ]
    journey = rows.run(
        "SELECT session_id, customer_key, visit_number FROM customer_journey ORDER BY session_id"
    )
    assert journey == [("s1", "id:c", 1), ("s2", "id:c", 2), ("s3", "id:c", 3), ("s4", "number:+15550199", 1)]


def test_without_joining_they_are_two(rows: Rows) -> None:
    """customer_journey_by_key depends on nothing but the session itself."""
    rows.session("s1", customer_number="+1")
    rows.session("s2", customer_id="c", customer_number="+1", created_at=after(60))
    found = rows.run("SELECT session_id, customer_key, visit_count FROM customer_journey_by_key ORDER BY ALL")
    assert found == [("s1", "number:+1", 1), ("s2", "id:c", 1)]


def test_a_chain_of_sessions_joins(rows: Rows) -> None:
    """E-mail to number, number to SIP address: the key is the first of them by kind, then by value."""
    rows.session("s1", customer_email="b@x.example", customer_number="+2")
    rows.session("s2", customer_email="b@x.example", customer_number="+1")
    rows.session("s3", customer_number="+2", customer_sip_uri="sip:b@x.example")
    keys = rows.run("SELECT DISTINCT customer_key FROM customer_identities")
    assert keys == [("number:+1",)]


def test_equal_values_of_two_kinds_do_not_join(rows: Rows) -> None:
    """An external id that looks like a number is no number."""
    rows.session("s1", customer_external_id="+1")
    rows.session("s2", customer_number="+1")
    assert rows.only("SELECT COUNT(*) AS n FROM customers")["n"] == 2


def test_the_number_of_a_call_centre_joins_nobody(rows: Rows) -> None:
    """Its six external ids stay six customers; sessions with the number alone are a customer of their own."""
    for at in range(6):
        rows.session(f"s{at}", customer_number="+1", customer_external_id=f"crm-{at}")
    rows.session("s6", customer_number="+1")
    shared = rows.run(
        "SELECT identity, customer_key, session_count, linked_identity_count FROM customer_identities WHERE shared"
    )
    assert shared == [("number:+1", "number:+1", 7, 6)]
    keys = rows.run("SELECT session_id, customer_key FROM customer_journey ORDER BY session_id")
    assert keys == [(f"s{at}", f"external_id:crm-{at}") for at in range(6)] + [("s6", "number:+1")]


def test_the_bound_counts_identities_of_one_kind(rows: Rows) -> None:
    """Five external ids, five e-mail addresses and an id are joined by one number; a sixth e-mail address is too many."""
    for at in range(5):
        rows.session(f"s{at}", customer_number="+1", customer_external_id=f"e{at}", customer_email=f"m{at}")
    rows.session("s5", customer_number="+1", customer_id="c")
    assert rows.run("SELECT customer_key, identity_count FROM customers") == [("id:c", 12)]
    rows.session("s6", customer_number="+1", customer_email="m5")
    assert rows.only("SELECT COUNT(*) AS n FROM customers")["n"] == 7


def test_a_session_with_only_shared_identities_belongs_to_the_first(rows: Rows) -> None:
    """Two shared identities are not joined with each other either."""
    for at in range(6):
        rows.session(f"n{at}", customer_number="+1", customer_external_id=f"e{at}")
        rows.session(f"m{at}", customer_email="desk@x.example", customer_external_id=f"f{at}")
    rows.session("both", customer_email="desk@x.example", customer_number="+1")
    rows.session("email", customer_email="desk@x.example")
    found = rows.run(
        "SELECT session_id, customer_key FROM customer_journey WHERE session_id IN ('both', 'email') ORDER BY ALL"
    )
    assert found == [("both", "number:+1"), ("email", "email:desk@x.example")]


def test_a_session_whose_first_identity_is_shared_belongs_to_the_unshared_one(rows: Rows) -> None:
    """A company account with many numbers: each number is a customer."""
    for at in range(6):
        rows.session(f"s{at}", customer_id="acme", customer_number=f"+{at}")
    keys = rows.run("SELECT session_id, customer_key FROM customer_journey ORDER BY session_id")
    assert keys == [(f"s{at}", f"number:+{at}") for at in range(6)]


def test_a_customer_is_summed_over_all_sessions(rows: Rows) -> None:
    """Deleted sessions count; the latest name that is not blank is shown; costs are exact sums of what has a price."""
    rows.session(
        "s1", customer_id="c", customer_name="Ada", cost_usd=0.1, message_count=2, status="completed"
    )
    rows.session(
        "s2",
        customer_id="c",
        customer_number="+1",
        customer_name="Ada L.",
        cost_usd=0.2,
        message_count=3,
        created_at=after(days=2),
        deleted_at=after(days=3),
    )
    rows.session("s3", customer_number="+1", customer_name=" ", message_count=1, created_at=after(days=3))
    rows.session("s4", customer_number="+2")
    assert rows.rows("FROM customers ORDER BY session_count DESC") == [
        {
            "customer_key": "id:c",
            "customer_name": "Ada L.",
            "identities": ["id:c", "number:+1"],
            "identity_count": 2,
            "session_count": 3,
            "completed_session_count": 1,
            "expired_session_count": 0,
            "open_session_count": 2,
            "message_count": 6,
            "cost_usd": 0.3,
            "pending_session_count": 1,
            "first_contact_at": after(),
            "last_contact_at": after(days=3),
            "is_returning": True,
            "median_days_between_contacts": 1.5,
        },
        {
            "customer_key": "number:+2",
            "customer_name": None,
            "identities": ["number:+2"],
            "identity_count": 1,
            "session_count": 1,
            "completed_session_count": 0,
            "expired_session_count": 0,
            "open_session_count": 1,
            "message_count": 0,
            "cost_usd": None,
            "pending_session_count": 1,
            "first_contact_at": after(),
            "last_contact_at": after(),
            "is_returning": False,
            "median_days_between_contacts": None,
        },
    ]


def test_of_two_names_at_the_same_moment_the_later_visit_counts(rows: Rows) -> None:
    """Visits at the same moment are in the order of their ids."""
    rows.session("s2", customer_id="c", customer_name="Second")
    rows.session("s1", customer_id="c", customer_name="First")
    assert rows.run("SELECT customer_name FROM customers") == [("Second",)]


def test_sessions_without_an_identity_are_nobodys(rows: Rows) -> None:
    """A name does not identify anybody."""
    rows.session("s1", customer_name="Ada", customer_number=" ")
    assert rows.run("FROM customers") == []
    assert rows.run("FROM customer_identities") == []


def test_repeat_contacts_within_thirty_days(rows: Rows) -> None:
    """Exactly thirty days count, a moment more does not; each shows how the contact before stands."""
    rows.session("s1", customer_id="c", assistant_id="a", assistant_name="Riley", status="completed")
    rows.session("s2", customer_id="c", customer_number="+1", created_at=after(days=30), assistant_id="b")
    rows.session("s3", customer_number="+1", created_at=after(days=60, seconds=1))
    rows.session("s4", customer_number="+1", created_at=after(days=60, seconds=1), status="completed")
    rows.session("s5", customer_number="+2")
    assert rows.rows("FROM repeat_contacts ORDER BY session_id") == [
        {
            "customer_key": "id:c",
            "session_id": "s2",
            "created_at": after(days=30),
            "day": after(days=30).date(),
            "previous_session_id": "s1",
            "days_since_previous": 30.0,
            "outcome": "open",
            "previous_outcome": "completed",
            "assistant": "b",
            "previous_assistant": "Riley",
        },
        {
            "customer_key": "id:c",
            "session_id": "s4",
            "created_at": after(days=60, seconds=1),
            "day": after(days=60).date(),
            "previous_session_id": "s3",
            "days_since_previous": 0.0,
            "outcome": "completed",
            "previous_outcome": "open",
            "assistant": None,
            "previous_assistant": None,
        },
    ]


def test_customers_are_the_callers_whom_the_generator_knows(rows: Rows) -> None:
    """Of generated sessions, 2 in 5 carry a saved id beside the number: without joining, that makes half as many customers more."""
    numbers = {customer(index).number: index for index in range(500)}
    callers: list[int | None] = []
    sessions: list[dict[str, str]] = []
    for batch in generate(History(org_id="org", sessions=1_500, until_us=1_790_000_000_000_000)):
        for stored in batch:
            session = json.loads(stored.body)
            given = session.get("customer", {})
            callers.append(numbers[given["number"]] if given else None)
            values = (
                session.get("customerId"),
                *(given.get(n) for n in ("externalId", "number", "email", "sipUri")),
            )
            sessions.append({column: value for column, value in zip(KINDS, values, strict=True) if value})
    fill(rows, sessions)
    keys = dict(rows.run("SELECT session_id, customer_key FROM customer_journey"))
    pairs = {(caller, keys.get(f"s{at}")) for at, caller in enumerate(callers)}
    known = {caller for caller in callers if caller is not None}
    assert len(pairs - {(None, None)}) == len(known) == len({key for _, key in pairs if key})
    share = sum(callers.count(caller) > 1 for caller in known) / len(known)
    query = "SELECT COUNT(*) AS n, AVG((sessions > 1)::INT) AS share FROM (SELECT COUNT(*) AS sessions FROM {} GROUP BY customer_key)"
    joined, apart = (
        rows.only(query.format(view)) for view in ("customer_journey", "customer_journey_by_key")
    )
    assert joined == {"n": len(known), "share": pytest.approx(share)}
    assert apart["n"] > 1.4 * joined["n"]
    assert apart["share"] < joined["share"] - 0.15
