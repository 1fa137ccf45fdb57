"""The view `customer_journey` on small hand-made data."""

import pytest

from sql_rows import Rows, after


def test_customer_journey_orders_visits(rows: Rows) -> None:
    """Visits are numbered by creation, with the gap since the one before; ties are broken by id."""
    rows.session("c", customer_number="+1", created_at=after(100))
    rows.session("b", customer_number="+1", created_at=after(100), assistant_id="sales")
    rows.session("a", customer_number="+1", assistant_id="support")
    found = rows.run(
        "SELECT session_id, visit_number, visit_count, previous_session_id, seconds_since_previous,"
        " previous_assistant_id FROM customer_journey ORDER BY visit_number"
    )
    assert found == [
        ("a", 1, 3, None, None, None),
        ("b", 2, 3, "a", 100.0, "support"),
        ("c", 3, 3, "b", 0.0, "sales"),
    ]


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ({"customer_id": "c1", "customer_number": "+1"}, "id:c1"),
        ({"customer_external_id": "crm-7", "customer_number": "+1"}, "external_id:crm-7"),
        ({"customer_number": " +1 ", "customer_email": "a@b.example"}, "number:+1"),
        ({"customer_number": "", "customer_email": "Ada@B.example"}, "email:ada@b.example"),
        ({"customer_external_id": " ", "customer_email": " a@b.example"}, "email:a@b.example"),
        ({"customer_email": " ", "customer_sip_uri": " sip:Ada@b.example"}, "sip_uri:sip:ada@b.example"),
    ],
)
def test_customer_key_is_the_most_reliable_identifier(rows: Rows, columns: dict[str, str], key: str) -> None:
    """The saved customer comes before external id, number, e-mail and SIP URI; blank values are ignored."""
    rows.session("s1", **columns)
    assert rows.run("SELECT customer_key FROM customer_journey") == [(key,)]


def test_customer_journey_leaves_out_anonymous_sessions(rows: Rows) -> None:
    """Sessions without a customer, or with blank identifiers, are left out."""
    rows.session("s1", customer_name="Ada")
    rows.session("s2", customer_number="", customer_id=" ")
    assert rows.run("SELECT session_id FROM customer_journey") == []


def test_customer_journey_counts_deleted_visits(rows: Rows) -> None:
    """A deleted session is a visit, since it took place, and shows deleted_at."""
    rows.session("s1", customer_id="c", deleted_at=after(60))
    rows.session("s2", customer_id="c", created_at=after(30))
    found = rows.run(
        "SELECT session_id, visit_number, deleted_at FROM customer_journey ORDER BY visit_number"
    )
    assert found == [("s1", 1, after(60)), ("s2", 2, None)]


def test_customer_journey_shows_how_each_visit_ended(rows: Rows) -> None:
    """Status as received, outcome and the assistant's label as in session_facts."""
    rows.session("s1", customer_id="c", customer_name="Ada", status="completed", assistant_id="a")
    rows.session("s2", customer_id="c", assistant_id="a", assistant_name="Riley", created_at=after(60))
    found = rows.run(
        "SELECT session_id, customer_name, status, outcome, assistant_name, assistant, identities"
        " FROM customer_journey ORDER BY visit_number"
    )
    assert found == [
        ("s1", "Ada", "completed", "completed", None, "Riley", ["id:c"]),
        ("s2", None, None, "open", "Riley", "Riley", ["id:c"]),
    ]
