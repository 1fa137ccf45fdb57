"""Every field of the contract has a class, and every policy keeps exactly the classes that it should."""

from __future__ import annotations

import itertools
import json
import re
from functools import cache
from typing import Any, Final

import pytest

import contract
from contract import ConflictError, plant
from vapi_sessions.privacy.fields import ANY_NAME, HARMLESS, FieldClass, FieldRule, lines, rules_of
from vapi_sessions.privacy.policy import MessageText, PersonalData, Policy
from vapi_sessions.privacy.policy_json import apply_to_page
from vapi_sessions.privacy.sanitizer import Sanitizer
from write_fields import TABLE, UNKNOWN, updated

POLICIES: Final = [
    Policy(personal, text, b"k" * 32 if personal is PersonalData.PSEUDONYMISE else None)
    for personal, text in itertools.product(PersonalData, MessageText)
]
STRICTEST: Final = Policy(PersonalData.DROP, MessageText.DROP)
#: They identify the session and its version.
REQUIRED: Final = {"id", "orgId", "createdAt", "updatedAt"}
CANARY: Final = "Canary Bird 31, call +1 415 555 0100"
SESSION: Final = frozenset({"Session"})
#: Fields that sound like personal data or text, and what they are: they stay under every policy.
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
def class_at(path: tuple[str, ...]) -> FieldClass:
    """The class of the field at a path."""
    rules = rules_of(SESSION)
    rule: FieldRule | None = None
    for step in path:
        if step == "[]":
            continue
        if rule is not None:
            if not rule.leads_to:  # an object where a value belongs
                return FieldClass.FREE if rule.harmless else rule.field_class
            rules = rules_of(rule.leads_to)
        rule = rules.get(step) or rules.get(ANY_NAME)
        if rule is None:
            return FieldClass.FREE
    assert rule is not None
    return rule.field_class


def test_every_member_of_the_contract_has_a_class() -> None:
    """New fields in a later version of the contract fail here until they are classified."""
    text = TABLE.read_text("utf-8")
    assert updated(text) == text, "run tests/write_fields.py, and replace each ? in fields.tsv by a class"
    assert UNKNOWN not in text
    assert len(lines()) > 1900


def planted(value: Any) -> list[tuple[contract.TextField, bytes]]:
    """A session for each field of the contract that may be a string, with the value there."""
    found = []
    for field in contract.text_fields():
        if field.path[0] in REQUIRED:
            continue
        session: dict[str, Any] = {}
        try:
            plant(session, field.path, value)
        except ConflictError:
            continue
        found.append((field, json.dumps(session, separators=(",", ":")).encode()))
    return found


def expected(policy: Policy, field_class: FieldClass) -> str:
    """The effect of a policy on a text that contains a number, by the table in `fields`: `stays`, `masked` or `removed`."""
    if field_class in HARMLESS:
        return "stays"
    text = {MessageText.KEEP: "stays", MessageText.MASK: "masked", MessageText.DROP: "removed"}[policy.text]
    if field_class is FieldClass.PERSONAL:
        return "stays" if policy.personal is PersonalData.KEEP else "removed"
    if field_class is FieldClass.FREE:
        return "removed" if policy.personal is PersonalData.DROP else text
    return (
        text if text == "stays" or field_class not in (FieldClass.WORDS, FieldClass.RECORDING) else "removed"
    )


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: f"{p.personal}-{p.text}")
def test_every_field_of_the_contract_is_sanitized_by_its_class(policy: Policy) -> None:
    """All fields, under all nine policies."""
    fields = planted(CANARY)
    assert len(fields) > 900
    bodies = apply_to_page(policy, [body for _, body in fields])
    for (field, _), body in zip(fields, bodies, strict=True):
        text = body.decode()
        found = "removed" if "Canary" not in text else "stays" if "555 0100" in text else "masked"
        customer_id = field.path == ("customerId",) and policy.personal is PersonalData.PSEUDONYMISE
        assert found == ("stays" if customer_id else expected(policy, class_at(field.path))), field


def test_fields_that_stay_under_the_strictest_policy_are_explained() -> None:
    """Kinds, ids and settings stay. A field that sounds like personal data or text needs a reason here and in the documentation."""
    strictest = Sanitizer(policy=STRICTEST)
    fields = planted(CANARY)
    sanitized = strictest.page([body for _, body in fields])
    left = {field.name for (field, _), body in zip(fields, sanitized, strict=True) if b"Canary" in body}
    assert len(left) > 50
    assert {name for name in left if _SOUNDS.search(name)} <= STAYS.keys()


@pytest.mark.parametrize(
    "value", ["Ann Lee, +1 415 555 0100", 14155550100, {"who": "Ann Lee"}, ["Ann Lee"], '{"who":"Ann Lee"}']
)
def test_undeclared_fields_count_as_personal_data_and_text(value: Any) -> None:
    """In any object of the contract, with any value."""
    objects = {
        field.path[:-1]
        for field in contract.text_fields()
        if field.path[-1] not in ("*", "[]") and field.path[0] not in REQUIRED
    }
    bodies = []
    for path in objects:
        session: dict[str, Any] = {}
        plant(session, (*path, "undeclared"), value)
        bodies.append(json.dumps(session, separators=(",", ":")).encode())
    assert len(bodies) > 250
    for policy in POLICIES:
        removed = policy.personal is PersonalData.DROP or policy.text is MessageText.DROP
        for body, sanitized in zip(bodies, apply_to_page(policy, bodies), strict=True):
            assert not (removed and re.search(rb"Ann Lee|555 ?0100", sanitized)), body
            assert not (policy.text is MessageText.MASK and re.search(rb"555 ?0100", sanitized)), body
