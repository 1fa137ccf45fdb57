"""The rules of masking: the format of a number, the words next to it, the region; and the time it takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import examples, first
from vapi_sessions.privacy.masking import CARD, EMAIL, IBAN, PHONE, SOCIAL, mask
from vapi_sessions.privacy.visible_text import visible_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call me at 415.555.0132x12", f"call me at {PHONE}"),
        ("my phone: 5550132", f"my phone: {PHONE}"),
        ("my order: 5550132", "my order: 5550132"),
        ("order 4839201745, phone 4155550132", f"order 4839201745, phone {PHONE}"),
        ("for the order status call 4155550132", f"for the order status call {PHONE}"),
        ("ticket 4155550132", "ticket 4155550132"),
        ("ticket for +14155550132", f"ticket for {PHONE}"),
        ("reservation (415) 555-0132", f"reservation {PHONE}"),
        ("1234567 dollars", "1234567 dollars"),
        ("phone bill 1234567 dollars", "phone bill 1234567 dollars"),
        ("1234567 is my number", f"{PHONE} is my number"),
        ("1234567 is my total", "1234567 is my total"),
        ('{"phones": ["5550132", "5550133"]}', f'{{"phones": ["{PHONE}", "{PHONE}"]}}'),
        ("415-555-0132/415-555-0133", f"{PHONE}/{PHONE}"),
        ("4155550132,4155550133", f"{PHONE},{PHONE}"),
        ("room 12 (4155550132)", f"room 12 ({PHONE})"),
        ("It is 4155550132. 2 of us", f"It is {PHONE}. 2 of us"),
        ("415-555-0132 2024-05-15 15:00", f"{PHONE} 2024-05-15 15:00"),
        ("Tel4155550132 Ann4155550132", f"Tel{PHONE} Ann4155550132"),
        ("card 4111 1111 1111 1112", f"card {CARD}"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("card ending in 4421486", "card ending in 4421486"),
        ("4111 1111 1111 1111 12/27 123", f"{CARD} 12/27 123"),
        ("BA1234 DE89 3704 0044 0532 0130 00", f"BA1234 {IBAN}"),
        ("DF89BM is a round-trip flight in basic economy", "DF89BM is a round-trip flight in basic economy"),
        ("my SSN is 123-45-6789", f"my SSN is {SOCIAL}"),
        ("sip:+14155550132@10.0.0.1", f"sip:{PHONE}@10.0.0.1"),
        ("my mail is ann dot lee at example dot com", f"my mail is {EMAIL}"),
    ],
)
def test_the_nearest_word_decides_if_the_format_does_not(text: str, expected: str) -> None:
    """A number that words introduce as a telephone number is masked; one introduced as something else is not."""
    assert mask(text) == expected
    assert mask(expected) == expected


def test_national_numbers_are_masked_only_with_their_region() -> None:
    """612 345 678 is a telephone number in Spain and an amount elsewhere; 20 12 34 56 is one in Denmark."""
    assert mask("612 345 678") == "612 345 678"
    assert mask("612 345 678", "ES") == PHONE
    assert mask("20 12 34 56") == "20 12 34 56"
    assert mask("20 12 34 56", "DK") == PHONE
    assert mask("order 612 345 678", "ES") == "order 612 345 678"


def test_the_name_of_a_member_decides_about_a_bare_number() -> None:
    """A bare number alone is not masked."""
    assert mask("5550132") == "5550132"
    assert mask("5550132", name="callbackNumber") == PHONE
    assert mask("4155550132", name="orderNumber") == "4155550132"
    assert mask("4155550132", name="customer_number") == PHONE
    assert mask("It took 5550132 steps", name="phone") == "It took 5550132 steps"


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_masked_json_is_valid_json(depth: int) -> None:
    """Escapes around a masked value stay complete, at any depth."""
    text = "Ann\n4155550132\tann@example.com\n4111 1111 1111 1111"
    expected = f"Ann\n{PHONE}\t{EMAIL}\n{CARD}"
    for _ in range(depth):
        text, expected = json.dumps({"said": text}), json.dumps({"said": expected})
    assert mask(text) == expected


@given(
    st.lists(
        st.sampled_from(["a", "é", "1", "٣", "\\u0031", "\\n", "%2B", "&nbsp;", "\u200b", "＠", "\\", " "])
    )
)
@examples(200)
def test_visible_text_has_the_offset_of_every_character(signs: list[str]) -> None:
    """So that a replacement in the visible text changes exactly the same part of the original."""
    text = "".join(signs)
    visible = visible_text(text)
    assert len(visible.offsets) == len(visible.text) + 1
    assert list(visible.offsets) == sorted(visible.offsets)
    assert visible.replaced(text, []) == text
    parts = [text[a:b] for a, b in zip([0, *visible.offsets], [*visible.offsets, len(text)], strict=True)]
    assert "".join(parts) == text


@pytest.mark.parametrize(
    "run",
    first(
        ["1 ", "12,", "(1) ", "415 555 0132 ", "\\n", "4155550132, ", "1,", "\\\\", "&", "%2", "a'", '"', "(at) ", "mail a at b dot c ", "+1 ", "\u200b1", "DE89 "],
        1,
    ),
)  # fmt: skip
def test_masking_takes_linear_time(run: str) -> None:
    """A text of four times the length takes less than ten times as long, plus 0.05 s."""
    mask("call +14155550132, 4111111111111111")

    def cost(length: int) -> float:
        text = run * (length // len(run)) + " 4155550132 mail dot @"
        begin = time.process_time()
        mask(text)
        return time.process_time() - begin

    small = min(cost(5_000) for _ in range(3))
    assert min(cost(20_000) for _ in range(2)) < 10 * small + 0.05


@pytest.mark.proof
def test_a_long_text_does_not_end_the_search() -> None:
    """The search of phonenumbers stops after 65,535 candidates."""
    text = "01-2024 " * 70_000 + "call +1 415 555 0132"
    assert mask(text).endswith(f"call {PHONE}")


def test_slow_libraries_are_imported_only_for_numbers() -> None:
    """Most runs mask nothing, and most texts have no number."""
    code = (
        "import sys; from vapi_sessions.privacy.masking import mask; mask('on 2026-03-04, for 12.50, ann@example.com');"
        "print([name for name in ('phonenumbers', 'stdnum') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
