"""What identifies a person in a text is replaced by its kind, and what only looks a little like it is not."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import examples
from vapi_sessions.privacy.masking import CARD, EMAIL, IBAN, PHONE, drop, mask


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ann.lee+x@mail.example.co.uk, please", f"write to {EMAIL}, please"),
        ("Ünal@beispiel.de", EMAIL),
        ("call +1 (555) 010-4477 now", f"call {PHONE} now"),
        ("call +15550104477.", f"call {PHONE}."),
        ("it is 0171 / 234 56 78", f"it is {PHONE}"),
        ("(555) 010-4477", PHONE),
        ("0049-30-1234567 or 555-0104", f"{PHONE} or {PHONE}"),
        ("card 4111 1111 1111 1111, exp 12/27", f"card {CARD}, exp 12/27"),
        ("4111111111111111", CARD),
        ("378282246310005", CARD),
        ("IBAN DE89 3704 0044 0532 0130 00 thanks", f"IBAN {IBAN} thanks"),
        ("GB82WEST12345698765432", IBAN),
        ("on 2026-03-04 at 15:30", "on 2026-03-04 at 15:30"),
        ("04.03.2026", "04.03.2026"),
        ("it costs 12.50, or 1200 in all", "it costs 12.50, or 1200 in all"),
        ("order 12345 of 678", "order 12345 of 678"),
        ("id 3f2b8c1e-0000-4000-8000-123456789012", "id 3f2b8c1e-0000-4000-8000-123456789012"),
        ("call_abc1234567890", "call_abc1234567890"),
        ("a @ b", "a @ b"),
        ("", ""),
    ],
)
def test_what_identifies_is_replaced_by_its_kind(text: str, expected: str) -> None:
    """E-mail addresses, telephone and card numbers, IBANs; not dates, amounts, ids."""
    assert mask(text) == expected
    assert mask(expected) == expected


def test_a_text_without_any_is_the_same_object() -> None:
    """Nothing is copied for nothing."""
    text = "What a day, 2026 of all years."
    assert mask(text) is text


@given(st.text(st.characters(codec="utf-8"), max_size=200) | st.text("0123456789 +-().@aDE/", max_size=60))
@examples(300)
def test_any_text_can_be_masked_and_dropped(text: str) -> None:
    """Masking twice is masking once, and a dropped text keeps its length and nothing else."""
    once = mask(text)
    assert mask(once) == once
    assert len(drop(text)) == len(text)
    assert set(drop(text)) <= {"x"}


@pytest.mark.parametrize("run", ["1", "1 ", "a@", "a.", "@a.", "DE89", "+", "(1) ", "1-", "DE89 3704 "])
def test_long_texts_take_no_longer_than_their_length(run: str) -> None:
    """No expression costs the square of a text."""
    begin = time.process_time()
    mask(run * (200_000 // len(run)) + "@1234567")
    assert time.process_time() - begin < 3


def test_no_number_survives_in_the_many_ways_to_write_it() -> None:
    """Whatever stands between its groups."""
    for between in (" ", "-", ".", "/", " - ", "\u2013", ") "):
        assert not re.search(r"\d{3}", mask(f"reach me at 555{between}010{between}4477 today"))
