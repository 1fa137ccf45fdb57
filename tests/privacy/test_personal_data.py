"""Personal data in unexpected fields: the strictest policy removes all of it, `mask` all numbers and addresses."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest

from vapi_sessions.privacy.policy import MessageText, PersonalData, Policy
from vapi_sessions.privacy.policy_json import apply_to_page

KEY: Final = b"k" * 32
DROP_ALL: Final = Policy(PersonalData.DROP, MessageText.DROP)
DROP_PERSONAL: Final = Policy(PersonalData.DROP)
MASK: Final = Policy(text=MessageText.MASK)
PSEUDONYMISE: Final = Policy(PersonalData.PSEUDONYMISE, key=KEY)
NUMBER: Final = "+14155550100"
WORDS: Final = [
    {"word": word, "start": 1.5, "end": 2.0, "confidence": 0.9} for word in ("4111", "1111", "1111", "1111")
]
AUDIO: Final = "UklGRiQAAABXQVZFZm10IBAAAAAB"


def message(**more: Any) -> dict[str, Any]:
    """A session with one message."""
    return {"messages": [{"role": "user", "content": "hello", **more}]}


#: Sessions with personal data of Ann, by the field that has it.
FIELDS: Final[dict[str, dict[str, Any]]] = {
    "the name of the speaker": message(name="Ann"),
    "names and ids of undeclared members": message(speaker={"name": "Ann", "id": "crm-ann"}),
    "structured data": {"analysis": {"structuredData": {"name": "Ann", "id": "Ann", "phone": 14155550100}}},
    "scorecards": {"artifact": {"scorecards": {"c-1": {"name": "Ann", "score": 5}}}},
    "lists of words": message(metadata={"wordLevelConfidence": WORDS}),
    "lists of words on the message": message(wordLevelConfidence=WORDS),
    "the sender of a text message": message(metadata={"source": NUMBER}),
    "transfers": {"artifact": {"transfers": [{"destination": {
        "type": "number", "number": NUMBER, "callerId": NUMBER, "extension": "Ann", "sipUri": "sip:ann@mail.test",
        "description": "Ann's desk", "transferPlan": {"summaryPlan": {"messages": [{"role": "system", "content": "Ann"}]}, "message": "Ann"},
    }}]}},
    "nodes and activations": {"artifact": {
        "nodes": [{"nodeName": "Ann"}], "assistantActivations": [{"assistantName": "Ann"}],
        "skippedStructuredOutputs": {"Ann Lee": {"name": "x", "unmetCondition": {"values": ["Ann"]}}},
    }},
    "undeclared personal data of the customer": {"customer": {"firstName": "Ann", "phone": NUMBER, "address": "Ann Street"}},
    "undeclared transcripts": {"artifact": {"transcriptDiarized": [{"text": "Ann"}]}, "lastMessage": "Ann"},
    "prompts": {"assistant": {
        "voice": {"provider": "openai", "instructions": "Ann"}, "transcriber": {"provider": "assembly-ai", "agentContext": "Ann"},
        "endCallPhrases": ["bye Ann"], "model": {"tools": [{"type": "function", "function": {"name": "f", "description": "Ann"}}]},
    }},
    "JSON inside a string": {"metadata": {"payload": '{"firstName":"Ann","number":"+14155550100"}'}},
    "names of members": {"metadata": {NUMBER: {"Ann Lee": 1}}},
    "a name of a member of the session": {NUMBER: 1, "Ann Lee": 2},
    "sound": message(content=[{"type": "input_audio", "input_audio": {"data": AUDIO, "format": "wav"}}]),
    "pictures": message(content=[{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{AUDIO}"}}, f"data:,{AUDIO}"]),
    "an object where a string belongs": {"status": {"who": "Ann"}, "name": {"first": "Ann"}, "cost": "Ann"},
}  # fmt: skip
LEFT: Final = re.compile(rf"Ann|415|0100|4111|{AUDIO}")
MASKABLE: Final = re.compile(rf"4155550100|4111|{AUDIO}")


def under(policy: Policy, session: dict[str, Any]) -> str:
    """The session as it would be stored."""
    given = {
        "id": "s-1",
        "orgId": "o-1",
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
    }
    body = {**given, **session}
    compact = apply_to_page(policy, [json.dumps(body, separators=(",", ":")).encode()])[0].decode()
    assert json.loads(apply_to_page(policy, [json.dumps(body).encode()])[0]) == json.loads(compact)
    return compact


@pytest.mark.parametrize("field", FIELDS)
def test_no_personal_data_is_left_if_everything_is_dropped(field: str) -> None:
    """In any field."""
    assert LEFT.search(json.dumps(FIELDS[field]))
    clean = under(DROP_ALL, FIELDS[field])
    assert not LEFT.search(clean), clean
    assert json.loads(under(DROP_ALL, json.loads(clean))) == json.loads(clean)


@pytest.mark.parametrize("field", sorted(set(FIELDS) - {"transfers", "the sender of a text message"}))
def test_no_number_and_no_recording_is_left_under_mask(field: str) -> None:
    """Except in fields for personal data, which the other level decides about."""
    clean = under(MASK, FIELDS[field])
    assert not MASKABLE.search(clean), clean


@pytest.mark.parametrize(
    "field",
    ["names and ids of undeclared members", "undeclared personal data of the customer", "undeclared transcripts",
     "JSON inside a string", "names of members", "transfers", "the name of the speaker", "an object where a string belongs"],
)  # fmt: skip
def test_personal_and_free_fields_are_null_if_personal_data_is_dropped(field: str) -> None:
    """Text stays, but undeclared members are removed, because they may have personal data."""
    clean = under(DROP_PERSONAL, FIELDS[field])
    if field == "transfers":  # prompts of the organisation stay
        assert not re.search(r"415|sip:|\"Ann\",", clean)
    else:
        assert not LEFT.search(clean), clean


@pytest.mark.parametrize("name", ["id", "orgId", "createdAt", "updatedAt"])
def test_required_fields_hold_no_personal_data(name: str) -> None:
    """An object in such a field makes the session unreadable. It is stored, and the policy applies to it."""
    assert not LEFT.search(under(DROP_ALL, {name: {"who": "Ann"}}))
    assert json.loads(under(PSEUDONYMISE, {name: NUMBER, "customer": {"number": NUMBER}}))[name] == NUMBER


def test_json_inside_strings_and_undeclared_fields_get_pseudonyms() -> None:
    """Equal values have equal pseudonyms there, too."""
    session = json.loads(
        under(
            PSEUDONYMISE,
            {
                "customer": {"number": NUMBER, "phone": "(415) 555-0100", "shoeSize": "Ann-7"},
                "metadata": {
                    "payload": '{"number":"+1 415-555-0100","plan":"gold"}',
                    "note": "call +1 (415) 555 0100",
                    NUMBER: 1,
                },
            },
        )
    )
    number = session["customer"]["number"]
    assert number.startswith("psn_")
    assert session["customer"]["shoeSize"].startswith("psn_")
    assert json.loads(session["metadata"]["payload"]) == {"number": number, "plan": "gold"}
    assert session["metadata"]["note"] == f"call {number}"
    assert set(session["metadata"]) == {"payload", "note", number}


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("number", "+1 (415) 555-0100"), ("number", "1-415-555-0100"), ("number", "0014155550100"), ("number", "+1415\\u0035550100"),
        ("email", "ANN@MAIL.TEST"), ("name", "JOS\u00c9 LEE"), ("name", "Jose\u0301 Lee"), ("name", "Jos\\u00e9  Lee"),
    ],
)  # fmt: skip
def test_the_customer_is_found_in_prompts_in_any_spelling(name: str, spelled: str) -> None:
    """Prompts have the customer's values inserted."""
    customer = {"number": NUMBER, "email": "ann@mail.test", "name": "Jos\u00e9 Lee"}
    prompt = {"model": {"messages": [{"role": "system", "content": f"You talk to {spelled}, be kind."}]}}
    for policy in (PSEUDONYMISE, DROP_PERSONAL):
        session = json.loads(under(policy, {"customer": customer, "assistant": prompt}))
        text = session["assistant"]["model"]["messages"][0]["content"]
        instead = session["customer"][name] if policy is PSEUDONYMISE else f"[{name}]"
        assert text == f"You talk to {instead}, be kind."


def test_the_customer_is_found_in_the_overrides_of_the_customer() -> None:
    """In a prompt inside `customer`, when nothing else in the session mentions them."""
    prompt = {"model": {"messages": [{"role": "system", "content": "You talk to Ann Lee."}]}}
    session = {"customer": {"name": "Ann Lee", "assistantOverrides": prompt}}
    assert "You talk to [name]." in under(DROP_PERSONAL, session)
    assert "You talk to psn_" in under(PSEUDONYMISE, session)


def test_small_numbers_in_extracted_outputs_stay_and_longer_ones_do_not() -> None:
    """Scores stay. Telephone numbers, dates of birth and account numbers identify a person."""
    outputs = {
        "u-1": {
            "name": "CSAT",
            "result": {"score": 4.5, "share": 0.8333333333333334, "phone": 14155550100, "born": 19900131},
        }
    }
    session = json.loads(under(DROP_ALL, {"artifact": {"structuredOutputs": outputs}}))
    assert session["artifact"]["structuredOutputs"]["u-1"] == {
        "name": "CSAT", "result": {"score": 4.5, "share": 0.8333333333333334, "phone": None, "born": None},
    }  # fmt: skip
