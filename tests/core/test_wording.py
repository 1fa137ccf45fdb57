"""Numbers in messages agree with their nouns."""

from __future__ import annotations

import pytest

from vapi_sessions.core.wording import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 sessions"), (1, "1 session"), (2, "2 sessions"), (1_000, "1,000 sessions")]
)
def test_a_number_agrees_with_its_noun(number: int, text: str) -> None:
    """One session, and more sessions."""
    assert counted(number, "session") == text


def test_a_noun_may_have_another_plural() -> None:
    """It is given."""
    assert counted(2, "session was", "sessions were") == "2 sessions were"
