"""The table of places: every leaf of the contract has a class, and under every policy exactly what the classes say survives."""

from __future__ import annotations

import itertools
import json
import re
from functools import cache
from typing import Any, Final

import pytest
from write_places import TABLE, UNKNOWN, updated

import contract
from contract import ConflictError, plant
from vapi_sessions.privacy.fields import ANY, KEPT, Class, Place, lines, members
from vapi_sessions.privacy.policy import MessageText, PersonalData, Policy
from vapi_sessions.privacy.sanitizer import Sanitizer

POLICIES: Final = [
    Policy(personal, text, b"k" * 32 if personal is PersonalData.PSEUDONYMISE else None)
    for personal, text in itertools.product(PersonalData, MessageText)
]
STRICTEST: Final = Policy(PersonalData.DROP, MessageText.DROP)
#: They decide which session it is, and when.
GIVEN: Final = {"id", "orgId", "createdAt", "updatedAt"}
CANARY: Final = "Canary Bird 31, call +1 415 555 0100"
SESSION: Final = frozenset({"Session"})
#: Names that sound like a person's, or like what was said, and what it is that stays there whatever the policy.
STAYS: Final = {
    "name": "what the organisation calls its assistants, squads, tools, models, outputs: costs and results are grouped by it",
    "bucketName": "where the organisation stores",
    "containerName": "where the organisation stores",
    "s3BucketName": "where the organisation stores",
    "recordingS3BucketName": "where the organisation stores",
    "recordingS3BucketRegion": "where the organisation stores",
    "recordingPath": "where the organisation stores",
    "headerName": "the name of an HTTP header",
    "messageIdHeader": "the name of an HTTP header",
    "presignedUrlsExpiresAt": "a time",
    "phoneNumberId": "the id of the organisation's own number",
}
_SOUNDS: Final = re.compile(
    "name|number|e?mail|phone|address|customer|caller|sipuri|extension|transcript|message|content|prompt|text|words?$|url|recording|metadata",
    re.IGNORECASE,
)


@cache
def class_at(route: tuple[str, ...]) -> Class:
    """The class of the place that a route leads to."""
    known = members(SESSION)
    place: Place | None = None
    for step in route:
        if step == "[]":
            continue
        if place is not None:
            if not place.leads_to:
                return Class.FREE if place.place in KEPT else place.place  # an object where a value belongs
            known = members(place.leads_to)
        place = known.get(step) or known.get(ANY)
        if place is None:
            return Class.FREE
    assert place is not None
    return place.place


def test_every_member_of_the_contract_has_a_class() -> None:
    """What a new version of the contract brings fails here, until somebody has said what it is."""
    text = TABLE.read_text("utf-8")
    assert updated(text) == text, "run tests/write_places.py, and classify what it marks"
    assert UNKNOWN not in text
    assert len(lines()) > 1900


def planted(value: Any) -> list[tuple[contract.Place, bytes]]:
    """A session for each place of the contract, with the value there."""
    found = []
    for place in contract.places():
        if place.route[0] in GIVEN:
            continue
        session: dict[str, Any] = {}
        try:
            plant(session, place.route, value)
        except ConflictError:
            continue
        found.append((place, json.dumps(session, separators=(",", ":")).encode()))
    return found


def expected(policy: Policy, kind: Class) -> str:
    """What the table's head says becomes of a text with a number in it: `stays`, `masked` or `gone`."""
    if kind in KEPT:
        return "stays"
    text = {MessageText.KEEP: "stays", MessageText.MASK: "masked", MessageText.DROP: "gone"}[policy.text]
    if kind is Class.PERSONAL:
        return "stays" if policy.personal is PersonalData.KEEP else "gone"
    if kind is Class.FREE:
        return "gone" if policy.personal is PersonalData.DROP else text
    return text if text == "stays" or kind not in (Class.WORDS, Class.RECORDING) else "gone"


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: f"{p.personal}-{p.text}")
def test_every_leaf_of_the_contract_is_treated_as_its_class_says(policy: Policy) -> None:
    """All places, under all nine policies."""
    places = planted(CANARY)
    assert len(places) > 900
    bodies = policy.page([body for _, body in places])
    for (place, _), body in zip(places, bodies, strict=True):
        text = body.decode()
        found = "gone" if "Canary" not in text else "stays" if "555 0100" in text else "masked"
        customer_id = place.route == ("customerId",) and policy.personal is PersonalData.PSEUDONYMISE
        assert found == ("stays" if customer_id else expected(policy, class_at(place.route))), place


def test_what_survives_everything_is_explained() -> None:
    """Under drop and drop: kinds, ids, settings; and no name that sounds like a person's without a reason here and in the README."""
    strictest = Sanitizer(policy=STRICTEST)
    places = planted(CANARY)
    sanitized = strictest.page([body for _, body in places])
    left = {place.name for (place, _), body in zip(places, sanitized, strict=True) if b"Canary" in body}
    assert len(left) > 50
    assert {name for name in left if _SOUNDS.search(name)} <= STAYS.keys()


@pytest.mark.parametrize(
    "value", ["Ann Lee, +1 415 555 0100", 14155550100, {"who": "Ann Lee"}, ["Ann Lee"], '{"who":"Ann Lee"}']
)
def test_what_no_contract_declares_is_personal_and_was_said(value: Any) -> None:
    """An undeclared member of any object of the contract, whatever its value is."""
    objects = {
        place.route[:-1]
        for place in contract.places()
        if place.route[-1] not in ("*", "[]") and place.route[0] not in GIVEN
    }
    bodies = []
    for route in objects:
        session: dict[str, Any] = {}
        plant(session, (*route, "undeclared"), value)
        bodies.append(json.dumps(session, separators=(",", ":")).encode())
    assert len(bodies) > 250
    for policy in POLICIES:
        gone = policy.personal is PersonalData.DROP or policy.text is MessageText.DROP
        for body, sanitized in zip(bodies, policy.page(bodies), strict=True):
            assert not (gone and re.search(rb"Ann Lee|555 ?0100", sanitized)), body
            assert not (policy.text is MessageText.MASK and re.search(rb"555 ?0100", sanitized)), body
