"""Which rule decides: how a number is written, what introduces it, where it would be dialled; and what a text costs."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vapi_sessions.privacy.masking_reading import read

from selection import examples, first
from vapi_sessions.privacy.masking import CARD, EMAIL, IBAN, PHONE, SOCIAL, mask


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
def test_the_nearest_word_decides_where_writing_does_not(text: str, expected: str) -> None:
    """In doubt a mask takes what is introduced as a number, and leaves what is introduced as something else."""
    assert mask(text) == expected
    assert mask(expected) == expected


def test_the_region_tells_its_own_numbers_from_other_figures() -> None:
    """Nine digits in threes are an amount in most places, and a telephone in Spain; 20 12 34 56 is one in Denmark."""
    assert mask("612 345 678") == "612 345 678"
    assert mask("612 345 678", "ES") == PHONE
    assert mask("20 12 34 56") == "20 12 34 56"
    assert mask("20 12 34 56", "DK") == PHONE
    assert mask("order 612 345 678", "ES") == "order 612 345 678"


def test_the_name_of_a_member_introduces_its_value() -> None:
    """A number alone says nothing of itself."""
    assert mask("5550132") == "5550132"
    assert mask("5550132", name="callbackNumber") == PHONE
    assert mask("4155550132", name="orderNumber") == "4155550132"
    assert mask("4155550132", name="customer_number") == PHONE
    assert mask("It took 5550132 steps", name="phone") == "It took 5550132 steps"


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_json_stays_json(depth: int) -> None:
    """Escapes around what is masked are left whole, at any depth."""
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
def test_a_reading_knows_where_every_character_stood(signs: list[str]) -> None:
    """What is replaced in the reading is replaced in the original, and nothing beside it."""
    text = "".join(signs)
    reading = read(text)
    assert len(reading.where) == len(reading.text) + 1
    assert list(reading.where) == sorted(reading.where)
    assert reading.replaced(text, []) == text
    parts = [text[a:b] for a, b in zip([0, *reading.where], [*reading.where, len(text)], strict=True)]
    assert "".join(parts) == text


@pytest.mark.parametrize(
    "run",
    first(
        ["1 ", "12,", "(1) ", "415 555 0132 ", "\\n", "4155550132, ", "1,", "\\\\", "&", "%2", "a'", '"', "(at) ", "mail a at b dot c ", "+1 ", "\u200b1", "DE89 "],
        5,
    ),
)  # fmt: skip
def test_the_cost_grows_with_the_length_and_no_faster(run: str) -> None:
    """Four times the text takes about four times as long; noise is allowed for."""
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
    """Phonenumbers' own search gives up after 65,535 candidates."""
    text = "01-2024 " * 70_000 + "call +1 415 555 0132"
    assert mask(text).endswith(f"call {PHONE}")


def test_the_libraries_are_loaded_when_there_is_a_number() -> None:
    """Most runs mask nothing, and most texts have none."""
    code = (
        "import sys; from vapi_sessions.privacy.masking import mask; mask('on 2026-03-04, for 12.50, ann@example.com');"
        "print([name for name in ('phonenumbers', 'stdnum') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
