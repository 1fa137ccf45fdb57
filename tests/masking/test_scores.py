"""`mask` finds at least 95 % of all numbers, and keeps at least 95 % of all other texts. `python -m tests.masking` prints the scores."""

from __future__ import annotations

import pytest

from beside import CORPUS, needs_corpus

from .scores import Score, in_corpus, scores

BOUND = 0.95


@pytest.fixture(scope="module")
def every_score() -> list[Score]:
    """Every grid and list, including those that were written before or after the rules."""
    return scores()


def test_numbers_are_found_and_other_texts_are_kept(every_score: list[Score]) -> None:
    """In each grid and list."""
    assert {score.name: score.wrong for score in every_score if score.share < BOUND} == {}


def test_no_list_is_empty(every_score: list[Score]) -> None:
    """A list without entries would have a perfect score."""
    totals = {score.name: score.total for score in every_score}
    assert min(totals.values()) > 0
    assert totals["telephones found: tuned formats × tuned contexts"] == 13 * 18
    assert sum(total for name, total in totals.items() if "kept" in name) > 1_500
    assert any(score.wrong for score in every_score), "the lists keep texts that are masked wrongly"


@needs_corpus
def test_in_real_conversations_only_addresses_are_masked() -> None:
    """They have no telephone number, card or IBAN, but reservations, gift cards, flights, prices and dates."""
    texts, addresses = in_corpus(CORPUS)
    assert texts.total > 5_000
    assert texts.wrong == []
    assert addresses.total > 50
    assert addresses.wrong == []
