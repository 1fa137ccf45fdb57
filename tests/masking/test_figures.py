"""How many numbers are found, and how much else is left alone: `python -m tests.masking` prints it."""

from __future__ import annotations

import pytest

from beside import CORPUS, needs_corpus

from .figures import Figure, figures, in_corpus

#: Of what was written before the rules, and after them: at least so much.
BOUND = 0.95
FIGURES = figures()


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_numbers_are_found_and_the_rest_is_left_alone(figure: Figure) -> None:
    """Nineteen of twenty in every grid and list, those that no rule was made for included."""
    assert figure.total
    assert figure.share >= BOUND, figure.wrong


def test_every_list_counts() -> None:
    """A grid that lost its entries would be perfect."""
    totals = {figure.name: figure.total for figure in FIGURES}
    assert totals["telephones found: tuned formats × tuned contexts"] == 13 * 18
    assert sum(total for name, total in totals.items() if "left alone" in name) > 1_500
    assert any(figure.wrong for figure in FIGURES), "what is missed is kept in the lists"


@needs_corpus
def test_real_conversations_keep_what_is_no_number() -> None:
    """They have no telephone number, card or account, but reservations, gift cards, flights, prices and dates; and addresses."""
    texts, addresses = in_corpus(CORPUS)
    assert texts.total > 5_000
    assert texts.wrong == []
    assert addresses.total > 50
    assert addresses.wrong == []
