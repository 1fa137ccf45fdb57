"""Masking replaces values that identify a person by their kind, and keeps similar ones."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import examples, first
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
def test_identifying_values_are_replaced_by_their_kind(text: str, expected: str) -> None:
    """E-mail addresses, telephone and card numbers and IBANs, but not dates, amounts and ids."""
    assert mask(text) == expected
    assert mask(expected) == expected


def test_a_text_without_such_values_is_the_same_object() -> None:
    """Nothing is copied."""
    text = "What a day, 2026 of all years."
    assert mask(text) is text


@given(st.text(st.characters(codec="utf-8"), max_size=200) | st.text("0123456789 +-().@aDE/", max_size=60))
@examples(300)
def test_any_text_can_be_masked_and_dropped(text: str) -> None:
    """Masking twice changes nothing. A dropped text keeps only its length."""
    once = mask(text)
    assert mask(once) == once
    assert len(drop(text)) == len(text)
    assert set(drop(text)) <= {"x"}


@pytest.mark.parametrize(
    "run", first(["1", "a@", "1 ", "a.", "@a.", "DE89", "+", "(1) ", "1-", "DE89 3704 "], 2)
)
def test_masking_of_long_texts_takes_linear_time(run: str) -> None:
    """200,000 characters of what an expression searches for take less than three seconds."""
    begin = time.process_time()
    mask(run * (200_000 // len(run)) + "@1234567")
    assert time.process_time() - begin < 3


def test_a_number_is_masked_with_any_separator() -> None:
    """Blanks, hyphens, dots, slashes, dashes and brackets between its groups."""
    for between in (" ", "-", ".", "/", " - ", "\u2013", ") "):
        assert not re.search(r"\d{3}", mask(f"reach me at 555{between}010{between}4477 today"))
