"""The figures of a report, exact, on a few hand-made sessions."""

from __future__ import annotations

import json
from datetime import date

import pytest
from reporting import conversation, reader_of

from sql_rows import Rows, after
from vapi_sessions.report import figures
from vapi_sessions.schema import COSTS, STRUCTURED_OUTPUTS


@pytest.fixture
def two_weeks(rows: Rows) -> Rows:
    """Three sessions in the period of one day, two on the day before, with a returning customer."""
    conversation(rows, "old1", created_at=after(days=-1), cost_usd=1.0, message_count=10)
    conversation(
        rows,
        "old2",
        created_at=after(-7200, days=-1),
        status="active",
        expires_at=after(days=-1),
        cost_usd=3.0,
    )
    conversation(rows, "new1", created_at=after(-7200), cost_usd=2.0)
    conversation(rows, "new2", created_at=after(-3600), cost_usd=None, customer_number="+15550000002")
    conversation(rows, "new3", created_at=after(-60), cost_usd=0.25, customer_number=None, status="active")
    rows.complete_until(after(days=0, seconds=60))
    return rows


def test_headlines_compare_with_the_period_before(two_weeks: Rows) -> None:
    """Count, cost, completed share, customers and messages of both."""
    found = {one.name: one for one in figures.headlines(*reader_of(two_weeks))}
    assert {name: (one.value, one.before) for name, one in found.items()} == {
        "conversations": (3, 2),
        "cost": (2.25, 4.0),
        "completed": (1.0, 0.5),
        "customers": (2, 1),
        "messages": (12, 14),
    }
    assert found["cost"].note == "1 still without a price"
    assert found["completed"].note == "of those that ended, 1 still open"
    assert found["customers"].note == "1 had been here before"


def test_only_customers_of_earlier_periods_had_been_here_before(two_weeks: Rows) -> None:
    """Not those who came twice in this one."""
    conversation(two_weeks, "new4", created_at=after(-30), customer_number="+15550000002")
    (customers,) = (one for one in figures.headlines(*reader_of(two_weeks)) if one.name == "customers")
    assert (customers.value, customers.note) == (2, "1 had been here before")


def test_a_history_without_a_period_before_compares_with_nothing(rows: Rows) -> None:
    """Null, not zero."""
    conversation(rows, "only")
    rows.complete_until(after(60))
    assert {one.before for one in figures.headlines(*reader_of(rows))} == {None}


def test_costs_by_model_add_up_to_the_components(rows: Rows) -> None:
    """Beyond six models, the cheap ones are one; session fees have a name of their own."""
    rows.session("s1", cost_usd=36.5)
    for number in range(8):
        rows.child(
            COSTS, "s1", cost_index=number, type="model", model_name=f"m{number}", cost_usd=number + 1.0
        )
    rows.child(COSTS, "s1", cost_index=8, type="session", cost_usd=0.5)
    rows.complete_until(after(60))
    reader, period = reader_of(rows)
    found = {row["model"]: row["cost_usd"] for row in figures.cost_by_model(reader, period)}
    assert found == {"m7": 8, "m6": 7, "m5": 6, "m4": 5, "m3": 4, "m2": 3, "other models": 3.5}
    assert figures.not_itemised(reader) == 0


def test_pending_sessions_and_costs_without_components_are_not_hidden(two_weeks: Rows) -> None:
    """The days with pending sessions, and the difference of the source's two totals."""
    reader, period = reader_of(two_weeks)
    assert figures.pending_cost(reader, period) == [{"start": date(2026, 8, 1), "pending": 1}]
    assert figures.not_itemised(reader) == 6.25 - 5 * 0.5


def test_costs_that_may_be_too_low_are_counted(two_weeks: Rows) -> None:
    """Each session once, in the period and in the whole history; the headline says so."""
    for session_id, complete in (("old1", False), ("new1", False), ("new2", True)):
        for index in (2, 3):
            two_weeks.child(
                COSTS, session_id, cost_index=index, type="model", cost_usd=0.1, usage_complete=complete
            )
    reader, period = reader_of(two_weeks)
    assert (figures.understated(reader, period.since), figures.understated(reader)) == (1, 2)
    (cost,) = (one for one in figures.headlines(reader, period) if one.name == "cost")
    assert cost.note == "1 still without a price, 1 may cost more"


def test_the_histogram_holds_every_priced_session(rows: Rows) -> None:
    """The last bin has everything from the 99 % quantile on."""
    for number in range(200):
        rows.session(f"s{number}", cost_usd=number / 100)
    rows.session("huge", cost_usd=100.0)
    rows.session("free", cost_usd=0.0)
    rows.session("pending")
    rows.complete_until(after(60))
    facts, bins = figures.cost_distribution(*reader_of(rows))
    assert (facts["sessions"], facts["highest"]) == (202, 100.0)
    assert sum(row["sessions"] for row in bins) == 202
    assert (bins[0]["low"], bins[0]["high"], bins[0]["sessions"]) == (0, 0.1, 11)
    assert [row["above"] for row in bins] == [False] * (len(bins) - 1) + [True]


@pytest.mark.parametrize(
    ("span", "step"), [(0.24, 0.01), (0.25, 0.02), (24, 1), (30, 2), (1000, 50), (0, 0.01), (3e-5, 2e-6)]
)
def test_steps_are_round(span: float, step: float) -> None:
    """1, 2 or 5 times a power of ten, for about 24 bins."""
    assert figures.nice_step(span, 24) == step


def test_outcomes_and_messages_of_each_day(two_weeks: Rows) -> None:
    """Of the whole history."""
    reader, period = reader_of(two_weeks)
    assert figures.outcomes(reader, period) == [
        {"start": date(2026, 7, 31), "completed": 1, "expired": 1, "open": 0},
        {"start": date(2026, 8, 1), "completed": 2, "expired": 0, "open": 1},
    ]
    assert [row["messages"] for row in figures.messages(reader, period)] == [14, 12]
    assert [(row["share"], row["ended"]) for row in figures.completed_share(reader, period)] == [
        (0.5, 2),
        (0.75, 4),
    ]


def test_all_hours_of_the_week_are_there(two_weeks: Rows) -> None:
    """1 August 2026 is a Saturday; the day before is not in the period."""
    found = figures.busiest_hours(*reader_of(two_weeks))
    assert len(found) == 168
    assert {(row["weekday"], row["hour"]): row["sessions"] for row in found if row["sessions"]} == {
        (6, 7): 1,
        (6, 8): 2,
    }


def test_hours_are_compared_by_the_average_day(rows: Rows) -> None:
    """From a Friday to the Saturday after next, there are two Fridays, two Saturdays and one Thursday."""
    for session_id, day in (("f1", -8), ("f2", -8), ("t1", -2), ("t2", -2), ("s1", 0)):
        conversation(rows, session_id, created_at=after(days=day))
    rows.complete_until(after(days=0, seconds=60))
    found = figures.busiest_hours(*reader_of(rows, date(2026, 7, 24)))
    assert {row["weekday"]: row["average"] for row in found if row["sessions"]} == {4: 2.0, 5: 1.0, 6: 0.5}


def test_tools_with_their_failures(rows: Rows) -> None:
    """Beyond twelve tools, those with fewest calls are one."""
    for number in range(14):
        conversation(rows, f"s{number}", tool=f"tool{number:02}")
    conversation(rows, "more", tool="tool00", result="Error: no")
    rows.complete_until(after(60))
    found = figures.tools(*reader_of(rows))
    assert [row["tool"] for row in found] == ["tool00", *(f"tool{n:02}" for n in range(1, 12)), "other tools"]
    assert (found[0]["call"], found[0]["answered"], found[0]["failed"]) == (2, 1, 1)
    assert found[-1]["call"] == 2


def test_structured_outputs_by_kind(rows: Rows) -> None:
    """Numbers have a mean, booleans a share, texts their counts; texts that never repeat are marked."""
    for number in range(4):
        rows.session(f"s{number}")
        for name, value in (
            ("CSAT", number),
            ("Resolved", number > 0),
            ("Topic", "refund"),
            ("Order", f"N{number}"),
        ):
            rows.child(
                STRUCTURED_OUTPUTS,
                f"s{number}",
                structured_output_id=name,
                name=name,
                result=json.dumps(value),
            )
    rows.complete_until(after(60))
    found = {row["label"]: row for row in figures.outputs(*reader_of(rows))}
    assert found["CSAT"]["mean"] == 1.5
    assert found["CSAT"]["trend"] == [{"start": date(2026, 8, 1), "value": 1.5}]
    assert found["Resolved"]["true_share"] == 0.75
    assert found["Topic"]["values"] == [{"value": "refund", "sessions": 4}]
    assert {label for label, row in found.items() if row["unique"]} == {"Order"}


def test_customers_by_number_of_visits(two_weeks: Rows) -> None:
    """One came three times, one once; a session without customer counts for neither."""
    reader, period = reader_of(two_weeks)
    facts, visits = figures.customers(reader)
    assert (facts["customers"], facts["returned"], facts["returning_share"]) == (2, 1, 0.5)
    assert {row["visits"]: row["customers"] for row in visits} == {
        "1": 1, "2": 0, "3": 1, "4": 0, "5–9": 0, "10+": 0,
    }  # fmt: skip
    assert [(row["new"], row["returning"], row["unknown"]) for row in figures.contacts(reader, period)] == [
        (1, 1, 0),
        (1, 1, 1),
    ]


def test_failing_checks(rows: Rows) -> None:
    """None before any check has run; else those with rows."""
    rows.session()
    rows.complete_until(after(60))
    reader, _ = reader_of(rows)
    assert figures.failing_checks(reader) is None
    rows.state(checks='{"duplicate_keys": 3, "message_index_gaps": 0}')
    assert figures.failing_checks(reader) == {"duplicate_keys": 3}
