"""Values that identify a person have one normal form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import examples
from telephone_numbers import SAME_NUMBER
from vapi_sessions.privacy.identity import normalised


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
