"""Values that identify a person have one normal form, and are found in text in any spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import examples
from vapi_sessions.privacy.identity import KnownValues, normalised

SAME_NUMBER = [
    "+14155550100",
    "14155550100",
    "0014155550100",
    "+1 (415) 555-0100",
    "1.415.555.0100",
    "+1\u2011415\u2011555\u20110100",
    "\u202a+1 415 555 0100\u202c",
    "\u200e+14155550100",
    "\uff0b\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10",
    "٠٠١٤١٥٥٥٥٠١٠٠",
    "tel:+1-415-555-0100",
    "+1\u00a0415\u00a0555\u00a00100",
]


@pytest.mark.parametrize("spelled", SAME_NUMBER)
def test_a_telephone_number_has_one_normal_form(spelled: str) -> None:
    """E.164, for any spelling that includes the country."""
    assert normalised("number", spelled) == "+14155550100"


@pytest.mark.parametrize(
    ("spelled", "region", "normal"),
    [
        ("(415) 555-0100", "US", "+14155550100"),
        ("(415) 555-0100", None, "4155550100"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("+44 (0)20 7946 0958", None, "+442079460958"),
        ("13812345678", "CN", "+8613812345678"),
        ("4915112345678", "US", "+4915112345678"),
        ("15550109999", None, "+15550109999"),
        ("100", "US", "100"),
        ("anonymous", "US", "anonymous"),
        ("+1 415 555 0100 ext. 5", None, "+14155550100;ext=5"),
        ("", None, ""),
    ],
)
def test_a_telephone_number_without_a_country_gets_the_regions_country(
    spelled: str, region: str | None, normal: str
) -> None:
    """Unless it is assigned in another country. A value that is not a number stays as it is."""
    assert normalised("number", spelled, region) == normal


@pytest.mark.parametrize(
    ("kind", "spelled", "normal"),
    [
        ("email", " Bob <BOB@Mail.test> ", "bob@mail.test"),
        ("email", "mailto:bob@mail.test", "bob@mail.test"),
        ("sipUri", "SIP:Bob@pbx.test:5060;transport=udp", "sip:bob@pbx.test"),
        ("sipUri", "bob@pbx.test", "sip:bob@pbx.test"),
        ("name", "  José\u00a0 GARCÍA", "josé garcía"),
        ("name", "Jose\u0301 Garci\u0301a", "josé garcía"),
        ("name", "O\u2019Brien", "o'brien"),
        ("externalId", " CRM-7 ", "CRM-7"),
        ("customerId", "\ufeffabc", "abc"),
    ],
)
def test_addresses_names_and_ids_have_one_normal_form(kind: str, spelled: str, normal: str) -> None:
    """Ids keep their case."""
    assert normalised(kind, spelled) == normal


@given(st.sampled_from(["number", "email", "name", "sipUri", "externalId"]), st.text(max_size=20))
@examples(200)
def test_normalising_twice_changes_nothing(kind: str, value: str) -> None:
    """For any value."""
    once = normalised(kind, value)
    if kind in ("number", "name", "externalId"):  # an address may have a second scheme after the first
        assert normalised(kind, once) == once


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
