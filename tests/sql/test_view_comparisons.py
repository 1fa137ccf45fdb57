"""The views `assistant_comparison` and `model_comparison` on small hand-made data.

The ends of the intervals were computed by hand: 1.959964 is the 97.5 % quantile of the normal distribution.
"""

from typing import Any

import pytest

from sql_rows import Rows, after
from vapi_sessions.schema import STRUCTURED_OUTPUTS

BOTH = pytest.mark.parametrize(
    ("view", "key"),
    [
        ("assistant_comparison", {"assistant_id": "a", "assistant_name": "Riley"}),
        ("model_comparison", {"model_provider": "openai", "model_name": "mini"}),
    ],
    ids=["assistants", "models"],
)


def csat(
    rows: Rows, session_id: str, result: str | None, name: str | None = "CSAT", output: str = "o"
) -> None:
    """An answer of a session."""
    rows.child(STRUCTURED_OUTPUTS, session_id, structured_output_id=output, name=name, result=result)


def expired(rows: Rows, session_id: str, **values: Any) -> None:
    """A session whose hour is over."""
    rows.session(session_id, status="active", expiration_seconds=3600, expires_at=after(3600), **values)


@BOTH
def test_comparison_has_means_with_intervals(rows: Rows, view: str, key: dict[str, str]) -> None:
    """Every figure of one row, with exact numbers."""
    rows.complete_until(after(days=30))
    for number, (amount, messages) in enumerate([(0.1, 2), (0.2, 4), (0.3, 6)]):
        session_id = f"s{number}"
        rows.session(session_id, status="completed", cost_usd=amount, message_count=messages, **key)
        csat(rows, session_id, str(number + 3))
    expired(rows, "s3", message_count=8, **key)
    rows.session("s4", status="active", message_count=10, **key)
    row = rows.only(f"FROM {view}")
    assert (row["session_count"], row["ended_session_count"], row["priced_session_count"]) == (5, 4, 3)
    # 3 of 4: centre (0.75 + 0.480183) / 1.960365 = 0.627528, margin 0.326885
    assert (row["completed_share"], row["completed_share_low"], row["completed_share_high"]) == (
        0.75,
        0.300642,
        0.954413,
    )
    # standard deviation 0.1, margin 1.959964 * 0.1 / sqrt(3)
    assert (row["mean_cost_usd"], row["mean_cost_low_usd"], row["mean_cost_high_usd"]) == (
        0.2,
        0.086841,
        0.313159,
    )
    # standard deviation sqrt(10), margin 1.959964 * sqrt(2)
    assert (row["mean_message_count"], row["mean_message_count_low"], row["mean_message_count_high"]) == (
        6.0,
        3.228192,
        8.771808,
    )
    assert (row["csat_count"], row["mean_csat"], row["mean_csat_low"], row["mean_csat_high"]) == (
        3,
        4.0,
        2.868414,
        5.131586,
    )


@BOTH
def test_one_session_has_means_but_no_interval(rows: Rows, view: str, key: dict[str, str]) -> None:
    """Below two values there is no interval; that of a share exists, and is wide."""
    rows.session("s1", status="completed", cost_usd=0.5, message_count=3, **key)
    csat(rows, "s1", "5")
    row = rows.only(f"FROM {view}")
    assert (row["completed_share"], row["completed_share_low"], row["completed_share_high"]) == (
        1.0,
        0.206549,
        1.0,
    )
    assert (row["mean_cost_usd"], row["mean_message_count"], row["mean_csat"]) == (0.5, 3.0, 5.0)
    ends = [row[name] for name in row if name.startswith("mean_") and ("_low" in name or "_high" in name)]
    assert ends == [None] * 6


@BOTH
def test_unknown_figures_are_null(rows: Rows, view: str, key: dict[str, str]) -> None:
    """Only open sessions without price and answer: counts are zero, the rest is unknown."""
    rows.session("s1", status="active", **key)
    rows.session("s2", status="active", **key)
    row = rows.only(f"FROM {view}")
    assert (row["ended_session_count"], row["priced_session_count"], row["csat_count"]) == (0, 0, 0)
    names = [
        "completed_share",
        "completed_share_low",
        "mean_cost_usd",
        "mean_cost_low_usd",
        "mean_csat",
        "mean_csat_low",
    ]
    assert [row[name] for name in names] == [None] * 6
    assert (row["mean_message_count"], row["mean_message_count_low"]) == (0.0, 0.0)


@BOTH
def test_cost_and_length_are_not_negative(rows: Rows, view: str, key: dict[str, str]) -> None:
    """The lower ends of what cannot be negative stop at zero; that of the CSAT, whose scale is unknown, does not."""
    for number in range(2):
        rows.session(f"s{number}", cost_usd=float(number), message_count=10 * number, **key)
        csat(rows, f"s{number}", str(number))
    row = rows.only(f"FROM {view}")
    assert (row["mean_cost_low_usd"], row["mean_message_count_low"]) == (0.0, 0.0)
    assert (row["mean_cost_high_usd"], row["mean_csat_low"]) == (1.479982, -0.479982)


@pytest.mark.parametrize(
    ("name", "result", "counted"),
    [
        ("CSAT", "4", True),
        ("csat", "4.5", True),
        (" Csat ", "-1", True),
        ("CSAT", "0", True),
        ("CSAT", '"4"', False),
        ("CSAT", '{"score": 4}', False),
        ("CSAT", "[4]", False),
        ("CSAT", "true", False),
        ("CSAT", "null", False),
        ("CSAT", None, False),
        ("CSAT score", "4", False),
        (None, "4", False),
    ],
)
def test_csat_is_a_number_under_that_name(
    rows: Rows, name: str | None, result: str | None, counted: bool
) -> None:
    """Upper and lower case make no difference; numbers in quotes, lists and objects are not answers."""
    rows.session("s1", assistant_id="a")
    csat(rows, "s1", result, name)
    found = rows.run("SELECT csat_count, mean_csat FROM assistant_comparison")
    assert found == [(1, float(result or 0)) if counted else (0, None)]


def test_assistant_comparison_takes_an_id_for_one_assistant(rows: Rows) -> None:
    """Names over time fold into the latest; a name without an id, and neither, are rows of their own."""
    rows.session("s1", assistant_id="a", assistant_name="Old")
    rows.session("s2", created_at=after(60), assistant_id="a", assistant_name="New")
    rows.session("s3", created_at=after(90), assistant_id="a")
    rows.session("s4", assistant_name="New")
    rows.session("s5")
    for number in range(1, 6):
        csat(rows, f"s{number}", str(number))
    found = rows.run(
        "SELECT assistant, assistant_id, session_count, csat_count, mean_csat FROM assistant_comparison ORDER BY ALL"
    )
    assert found == [("New", "a", 3, 3, 2.0), ("New", None, 1, 1, 4.0), (None, None, 1, 1, 5.0)]


def test_model_comparison_has_a_row_for_sessions_without_a_model(rows: Rows) -> None:
    """A name alone is a model, too; provider and name together make the row."""
    for session_id, provider, name in [
        ("s1", "openai", "mini"),
        ("s2", "other", "mini"),
        ("s3", None, "mini"),
        ("s4", None, None),
    ]:
        rows.session(session_id, model_provider=provider, model_name=name)
        csat(rows, session_id, "1")
    found = rows.run(
        "SELECT model_provider, model_name, session_count, csat_count FROM model_comparison ORDER BY ALL"
    )
    assert found == [
        ("openai", "mini", 1, 1),
        ("other", "mini", 1, 1),
        (None, "mini", 1, 1),
        (None, None, 1, 1),
    ]


def test_each_session_is_compared_by_assistant_and_by_model(rows: Rows) -> None:
    """In the view behind both, columns of the other kind are null; they cannot be taken for a group without a name."""
    rows.session("s1", assistant_id="a", model_provider="openai", model_name="mini")
    rows.session("s2")
    found = rows.run(
        "SELECT kind, assistant_id, model_name, session_count FROM comparisons ORDER BY ALL NULLS FIRST"
    )
    assert found == [
        ("assistant", None, None, 1),
        ("assistant", "a", None, 1),
        ("model", None, None, 1),
        ("model", None, "mini", 1),
    ]
