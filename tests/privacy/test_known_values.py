"""Values that identify a person are found in text in any spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import examples
from telephone_numbers import SAME_NUMBER
from vapi_sessions.privacy.known_values import KnownValues

KNOWN = KnownValues(
    [
        ("number", "+14155550100"),
        ("email", "bob@mail.test"),
        ("name", "José García"),
        ("sipUri", "sip:bob@pbx.test"),
        ("name", "山田太郎"),
        ("name", "Bo"),
    ]
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        *((f"call {spelled}, now", "call [number], now") for spelled in SAME_NUMBER if "tel" not in spelled),
        ("call (415) 555-0100.", "call [number]."),
        ("4 1 5 5 5 5 0 1 0 0", "[number]"),
        ("2, 4155550100", "2, [number]"),
        (r'{"phone":"\u202a+1 415 555 0100\u202c"}', r'{"phone":"\u202a[number]\u202c"}'),
        ("JOSÉ GARCÍA's", "[name]'s"),
        ("Jose\u0301 Garci\u0301a", "[name]"),
        ("Jose  \n garcia", "[name]"),
        (r"hi\nJos\u00e9 Garc\u00eda", r"hi\n[name]"),
        (r"Jos\\u00e9 Garc\\u00eda", "[name]"),
        ("これは山田太郎さん", "これは[name]さん"),
        ("BOB@MAIL.TEST", "[email]"),
        ("https://x.test/?e=bob%40mail.test&n=Jos%C3%A9%20Garc%C3%ADa", "https://x.test/?e=[email]&n=[name]"),
        ("\uff42\uff4f\uff42@mail.test", "[email]"),
        ("SIPS:Bob@pbx.test", "SIPS:[sipUri]"),
    ],
)
def test_known_values_are_found_in_every_usual_spelling(text: str, clean: str) -> None:
    """Numbers with and without country, names without accents, addresses in links. Nothing else is changed."""
    if "\u202a" in text or "\u200e" in text:  # directional marks around it may stay
        text = text.replace("\u202a", "").replace("\u202c", "").replace("\u200e", "")
    assert KNOWN.replace(text, lambda kind, value: f"[{kind}]") == clean
    assert KNOWN.found(text)


@pytest.mark.parametrize(
    "text",
    [
        "34155550100",
        "41555501001",
        "xJosé Garcíax",
        "bob@mail.testing",
        "Bo",
        "1764398400415",
        "",
        "\\",
        "%",
        "\ud800",
    ],
)
def test_similar_values_are_not_found(text: str) -> None:
    """Parts of longer numbers and words, and values that are too short. The same object is returned."""
    assert KNOWN.replace(text, lambda kind, value: "!") is text
    assert not KNOWN.found(text)


def test_a_number_without_a_country_is_found_with_any_country() -> None:
    """It may be the same number."""
    for known in (KnownValues([("number", "4155550100")]), KnownValues([("number", "(415) 555-0100")], "US")):
        for text in ("+1 415 555 0100", "(415) 555 0100", "call 4155550100"):
            assert known.replace(text, lambda kind, value: "#").removeprefix("call ") == "#"


@given(st.text(alphabet="Jjoséeó \u0301\n\\u00e9%40+1(415)5-0García", max_size=60))
@examples(300)
def test_found_values_are_replaced(text: str) -> None:
    """In any text: `replace` changes it exactly if `found` is true."""
    clean = KNOWN.replace(text, lambda kind, value: "[]")
    assert (clean is text) == (not KNOWN.found(text))
