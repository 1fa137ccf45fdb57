"""The views `session_facts` and `outcomes_by_day` on small hand-made data."""

from datetime import date, datetime, timedelta

import pytest

from sql_rows import MORNING, SOME_DAY, Rows, after
from vapi_sessions.warehouse.index_schema import INTERVALS

DAY = timedelta(days=1)


def complete_until(rows: Rows, moment: datetime) -> None:
    """Note in the ledger that everything from `MORNING` to this time has been read."""
    rows.state(origin=str(int(MORNING.timestamp()) * 1_000_000))
    rows.insert(INTERVALS, org_id="org", lower_bound=MORNING, upper_bound=moment)


def outcome(rows: Rows) -> str:
    """The outcome of the only session."""
    found: str = rows.only("SELECT outcome FROM session_facts")["outcome"]
    return found


@pytest.mark.parametrize(
    ("updated_at", "known_until", "expected"),
    [
        (MORNING, after(86_400 - 0.000_001), "open"),
        (MORNING, after(86_400), "expired"),
        (after(60), after(86_400), "open"),  # its last change is within one lifetime
        (after(60), after(86_460), "expired"),
        (after(days=5), after(days=5, seconds=60), "open"),  # it went on after expires_at
        (after(days=5), after(days=6), "expired"),
    ],
)
def test_a_session_expires_one_lifetime_after_its_last_change(
    rows: Rows, updated_at: datetime, known_until: datetime, expected: str
) -> None:
    """Whether the source counts from the creation or from the last activity: it is over by both."""
    rows.session(status="active", updated_at=updated_at, expires_at=MORNING + DAY)
    complete_until(rows, known_until)
    assert outcome(rows) == expected


def test_a_completed_session_never_expires(rows: Rows) -> None:
    """Its outcome stays, however long ago it was."""
    rows.session(status="completed", expires_at=MORNING + DAY)
    complete_until(rows, after(days=90))
    assert outcome(rows) == "completed"


@pytest.mark.parametrize("status", ["active", None, "paused"])
def test_a_session_of_any_other_status_can_expire(rows: Rows, status: str | None) -> None:
    """Also one without a status, or with one that the contract does not know."""
    rows.session(status=status, expires_at=MORNING + DAY)
    complete_until(rows, after(days=90))
    assert outcome(rows) == "expired"


def test_a_session_with_an_unknown_lifetime_is_open(rows: Rows) -> None:
    """Without expires_at, nobody knows."""
    rows.session(status="active", expires_at=None)
    complete_until(rows, after(days=90))
    assert outcome(rows) == "open"


def test_nothing_expires_before_anything_is_claimed_as_read(rows: Rows) -> None:
    """Without a time up to which the warehouse is complete, sessions are open."""
    rows.session(status="active", expires_at=MORNING + DAY)
    assert outcome(rows) == "open"


def test_a_daylight_saving_change_of_the_reader_does_not_move_an_expiry(rows: Rows) -> None:
    """The clocks of the reader's zone go forward on 27 September 2026; a lifetime stays 24 hours."""
    created = datetime.fromisoformat("2026-09-26T12:00:00+00:00")
    rows.session(status="active", created_at=created, updated_at=created, expires_at=created + DAY)
    complete_until(rows, created + DAY - timedelta(seconds=1))
    assert outcome(rows) == "open"


def test_the_label_of_an_assistant_is_its_latest_known_name(rows: Rows) -> None:
    """A session without a name takes it from others; an older name gives way to a newer one, and blanks are no names."""
    rows.session("s1", assistant_id="a", assistant_name="Riley")
    rows.session("s2", assistant_id="a", created_at=after(60), assistant_name="Riley 2")
    rows.session("s3", assistant_id="a", created_at=after(120), assistant_name=" ")
    rows.session("s4", assistant_id="b")
    rows.session("s5", assistant_name="Pop-up")
    rows.session("s6")
    found = rows.run("SELECT session_id, assistant FROM session_facts ORDER BY session_id")
    assert found == [
        ("s1", "Riley 2"),
        ("s2", "Riley 2"),
        ("s3", "Riley 2"),
        ("s4", "b"),
        ("s5", "Pop-up"),
        ("s6", None),
    ]


def test_of_two_names_at_the_same_moment_one_is_chosen_for_all(rows: Rows) -> None:
    """The session with the greater id decides, so that the label does not change between queries."""
    rows.session("s2", assistant_id="a", assistant_name="Second")
    rows.session("s1", assistant_id="a", assistant_name="First")
    assert rows.run("SELECT DISTINCT assistant FROM session_facts") == [("Second",)]


def test_day_weekday_and_hour_are_those_of_the_creation(rows: Rows) -> None:
    """2 August 2026 is a Sunday: day 7 of the week."""
    rows.session("s1", created_at=after(days=1, seconds=-9 * 3600))
    rows.session("s2", created_at=after(days=2, seconds=-9 * 3600 - 1))
    found = rows.run("SELECT session_id, day, weekday, hour FROM session_facts ORDER BY session_id")
    assert found == [("s1", date(2026, 8, 2), 7, 0), ("s2", date(2026, 8, 2), 7, 23)]


@pytest.mark.parametrize(
    ("columns", "identities"),
    [
        ({}, []),
        ({"customer_id": " ", "customer_number": "", "customer_email": "  "}, []),
        ({"customer_name": "Ada"}, []),
        (
            {
                "customer_sip_uri": " SIP:Ada@B.example",
                "customer_email": "Ada@B.Example ",
                "customer_number": "+1",
                "customer_external_id": " Crm-7 ",
                "customer_id": "C1",
            },
            ["id:C1", "external_id:Crm-7", "number:+1", "email:ada@b.example", "sip_uri:sip:ada@b.example"],
        ),
        ({"customer_number": "+49 (30) 123-45.67/8"}, ["number:+493012345678"]),
        ({"customer_number": "0049 30 1234567"}, ["number:+49301234567"]),
        ({"customer_number": "030 1234567"}, ["number:0301234567"]),
        ({"customer_number": "+49\u00a030\u00a01"}, ["number:+49301"]),
        ({"customer_number": " anonymous caller "}, ["number:anonymous caller"]),
        ({"customer_number": "psn_00-11"}, ["number:psn_00-11"]),
        ({"customer_number": "00"}, ["number:00"]),
        ({"customer_number": "+1 ext. 5"}, ["number:+1 ext. 5"]),
        ({"customer_number": "()"}, ["number:()"]),
    ],
)
def test_identities_are_written_the_same_way(
    rows: Rows, columns: dict[str, str], identities: list[str]
) -> None:
    """Only what is surely a telephone number is reduced to its digits."""
    rows.session(**columns)
    assert rows.only("SELECT identities FROM session_facts")["identities"] == identities


def test_facts_have_each_session_once(rows: Rows) -> None:
    """Deleted and aged-out ones included, with amounts and counts as the table has them."""
    rows.session("s1", cost_usd=0.1, message_count=3, assistant_id="a", assistant_name="Riley")
    rows.session("s2", deleted_at=after(60), assistant_id="a", assistant_name="Riley")
    rows.session("s3", aged_out_at=after(90), assistant_id="a")
    found = rows.run(
        "SELECT session_id, cost_usd, message_count, deleted_at, aged_out_at FROM session_facts ORDER BY ALL"
    )
    assert found == [
        ("s1", 0.1, 3, None, None),
        ("s2", None, 0, after(60), None),
        ("s3", None, 0, None, after(90)),
    ]


def test_outcomes_by_day_share_of_what_has_ended(rows: Rows) -> None:
    """Open sessions are no part of the share; a day on which all are open has none; deleted sessions count."""
    for number, status in enumerate(["completed", "completed", "active"]):
        rows.session(f"s{number}", status=status, expires_at=MORNING + DAY)
    rows.session("deleted", status="active", expires_at=MORNING + DAY, deleted_at=after(60))
    rows.session("long", status="active", expires_at=MORNING + 30 * DAY)
    rows.session("late", status="active", created_at=after(days=9), expires_at=after(days=10))
    complete_until(rows, after(days=9, seconds=60))
    assert rows.run("FROM outcomes_by_day ORDER BY day") == [
        (SOME_DAY, 5, 2, 2, 1, 0.5),
        (date(2026, 8, 10), 1, 0, 0, 1, None),
    ]
