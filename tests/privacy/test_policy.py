"""What each level of the policy removes, and that `keep` changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vapi_sessions.privacy.policy import MessageText, PersonalData, Policy
from vapi_sessions.privacy.policy_json import apply_to_page

KEY = b"k" * 32
PSEUDONYMISE = Policy(PersonalData.PSEUDONYMISE, key=KEY)
DROP = Policy(PersonalData.DROP)
MASK = Policy(text=MessageText.MASK)
DROP_TEXT = Policy(text=MessageText.DROP)
SESSION: dict[str, Any] = {
    "id": "s-1", "orgId": "o-1", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
    "name": "Ann's chat", "customerId": "c-1",
    "customer": {
        "number": "+15550104477", "email": "Ann@Mail.test", "name": "Ann Lee", "sipUri": "sip:ann@mail.test",
        "externalId": "crm-7788", "extension": 12, "numberE164CheckEnabled": True,
        "assistantOverrides": {"variableValues": {"customer": {"name": "Ann Lee"}, "plan": "gold"}},
    },
    "assistant": {"model": {"model": "gpt-x", "messages": [{"role": "system", "content": "You talk to Ann Lee."}]}},
    "metadata": {"customerEmail": "ann@mail.test", "campaign": "spring", "note": "of crm-7788", "deep": {"phone": "+1 555 010 4477"}},
    "messages": [
        {"role": "user", "message": "I am Ann Lee, +1 555 010 4477", "time": 1760000000000, "secondsFromStart": 1.5},
        {
            "role": "assistant", "content": None,
            "tool_calls": [
                {"id": "t-1", "type": "function", "function": {"name": "find", "arguments": '{"mail":"ann@mail.test","n":3}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "t-1", "content": [{"type": "text", "text": "ann@mail.test found"}]},
        {"role": "tool", "tool_call_id": "t-2", "content": {"name": "Ann Lee", "number": 15550104477, "type": "vip"}},
    ],
    "artifact": {
        "transcript": "User: I am Ann Lee", "recordingUrl": "https://r.test/1.wav",
        "structuredOutputs": {"u-1": {"name": "CSAT", "result": {"score": 5, "said": "mail ann@mail.test"}}},
        "variableValues": {"caller_name": "Ann Lee"},
    },
    "costs": [{"type": "model", "model": {"provider": "p", "model": "gpt-x"}, "promptTokens": 5, "cost": 0.1}],
}  # fmt: skip


def under(policy: Policy, session: dict[str, Any] = SESSION) -> dict[str, Any]:
    """The session as it would be stored."""
    compact, spaced = apply_to_page(
        policy, [json.dumps(session, separators=(",", ":")).encode(), json.dumps(session).encode()]
    )
    found: dict[str, Any] = json.loads(compact)
    assert json.loads(spaced) == found
    return found


def test_keep_returns_the_same_objects() -> None:
    """Even if they are not JSON."""
    bodies = [b'{"customer":{"number":"+1"}}', b"no json"]
    kept = apply_to_page(Policy(), bodies)
    assert all(kept[n] is bodies[n] for n in range(2))
    assert not Policy()


def test_equal_values_have_equal_pseudonyms() -> None:
    """In any spelling and any field. Another key gives other pseudonyms."""
    session = under(PSEUDONYMISE)
    customer = session["customer"]
    for name in ("number", "email", "name", "sipUri", "externalId", "extension"):
        assert customer[name].startswith("psn_")
        assert len(customer[name]) == 36
    assert customer["numberE164CheckEnabled"] is True
    assert session["metadata"]["customerEmail"] == customer["email"]
    assert session["metadata"]["deep"]["phone"] == customer["number"]
    assert session["metadata"]["note"] == f"of {customer['externalId']}"
    assert session["metadata"]["campaign"] == "spring"
    assert customer["assistantOverrides"]["variableValues"] == {
        "customer": {"name": customer["name"]},
        "plan": "gold",
    }
    assert session["artifact"]["variableValues"]["caller_name"] == customer["name"]
    assert (
        session["assistant"]["model"]["messages"][0]["content"] == f"You talk to {customer['name']}."
    )  # a prompt with substituted values
    assert session["name"].startswith("psn_")
    assert session["customerId"] == "c-1"
    assert session["messages"] == SESSION["messages"]
    other = under(Policy(PersonalData.PSEUDONYMISE, key=b"z" * 32))
    assert other["customer"]["number"] != customer["number"]
    assert under(PSEUDONYMISE, session) == session


def test_drop_replaces_personal_data_by_null() -> None:
    """Member names stay. Variables, metadata and other free fields become null, too."""
    session = under(DROP)
    for name in ("number", "email", "name", "sipUri", "externalId", "extension"):
        assert session["customer"][name] is None
    assert session["customerId"] is None
    assert session["name"] is None
    assert session["artifact"]["variableValues"] is None
    assert session["metadata"] is None
    assert session["assistant"]["model"]["messages"][0]["content"] == "You talk to [name]."
    assert session["messages"] == SESSION["messages"]


def test_mask_replaces_identifying_values_in_text() -> None:
    """In messages, arguments, results, prompts, transcripts and extracted outputs. Links to recordings are removed."""
    session = under(MASK)
    messages = session["messages"]
    assert messages[0] == {**SESSION["messages"][0], "message": "I am [name], [phone number]"}
    assert messages[1]["tool_calls"][0]["function"] == {
        "name": "find",
        "arguments": '{"mail":"[email]","n":3}',
    }
    assert messages[2]["content"] == [{"type": "text", "text": "[email] found"}]
    assert messages[3]["content"] == {"name": "[name]", "number": "[phone number]", "type": "vip"}
    assert session["artifact"]["transcript"] == "User: I am [name]"
    assert session["artifact"]["recordingUrl"] is None
    assert session["artifact"]["structuredOutputs"]["u-1"] == {
        "name": "CSAT", "result": {"score": 5, "said": "mail [email]"},
    }  # fmt: skip
    assert session["assistant"]["model"] == {
        "model": "gpt-x", "messages": [{"role": "system", "content": "You talk to [name]."}],
    }  # fmt: skip
    assert session["customer"]["number"] == SESSION["customer"]["number"]
    assert session["costs"] == SESSION["costs"]
    assert under(MASK, session) == session


def test_drop_of_text_leaves_lengths_counts_and_times() -> None:
    """Roles, names of tools, ids and times stay. Every text keeps its length."""
    session = under(DROP_TEXT)
    first, calling, parts, answer = session["messages"]
    assert first == {**SESSION["messages"][0], "message": "x" * len(SESSION["messages"][0]["message"])}
    call = calling["tool_calls"][0]
    assert (call["id"], call["function"]["name"]) == ("t-1", "find")
    assert call["function"]["arguments"] == "x" * len('{"mail":"ann@mail.test","n":3}')
    assert parts["content"] == [{"type": "text", "text": "x" * 19}]
    assert answer["content"] == {"name": "xxxxxxx", "number": None, "type": "xxx"}
    assert session["artifact"]["structuredOutputs"]["u-1"]["result"] == {"score": 5, "said": "x" * 18}
    assert session["artifact"]["recordingUrl"] is None
    assert session["costs"] == SESSION["costs"]
    assert under(DROP_TEXT, session) == session


@pytest.mark.parametrize(
    ("policy", "removed"),
    [
        (PSEUDONYMISE, ["crm-7788", "sip:ann"]),
        (DROP, ["crm-7788", "sip:ann", "c-1"]),
        (Policy(PersonalData.PSEUDONYMISE, MessageText.MASK, KEY), ["Ann", "ann@", "0104477", "010 4477", "crm-7788"]),
        (Policy(PersonalData.DROP, MessageText.DROP), ["Ann", "ann@", "0104477", "010 4477", "crm-7788", "found", "talk"]),
    ],
)  # fmt: skip
def test_each_level_removes_its_values_from_the_whole_body(policy: Policy, removed: list[str]) -> None:
    """The values are in no other field."""
    text = json.dumps(under(policy))
    assert [word for word in removed if word in text] == []


@pytest.mark.parametrize("body", [b'{"customer":{"number":"+1555', b'{"customer":' * 3000, b"\xff"])
def test_a_body_that_cannot_be_examined_is_replaced(body: bytes) -> None:
    """It may have values that the policy removes."""
    assert b"$unreadable" in apply_to_page(PSEUDONYMISE, [body])[0]


def test_numbers_keep_their_text() -> None:
    """Numbers that the policy does not remove are unchanged, to the last digit."""
    body = rb'{"z":1.50,"a":1e400,"cost":1e400,"status":"\u0000","customer":{"number":%s},"costs":[{"cost":1.50}]}'
    for policy in (PSEUDONYMISE, MASK):
        assert apply_to_page(policy, [body % b"true"]) == [body % b"true"]
    dropped = rb'{"z":null,"a":null,"cost":1e400,"status":"\u0000","customer":{"number":null},"costs":[{"cost":1.50}]}'
    assert apply_to_page(DROP, [body % b'"+1"']) == [dropped]


def test_the_record_of_repairs_to_json_is_kept() -> None:
    """Under every policy. Other values under its name are not."""
    record = b'{"$normalised":{"repeated_names":2}}'
    for policy in (PSEUDONYMISE, DROP, MASK, DROP_TEXT):
        assert apply_to_page(policy, [record]) == [record]
        for other in (
            b'"+15550104477"',
            b'{"repeated_names":15550104477}',
            b'{"repeated_names":2,"x":"Ann"}',
        ):
            if policy is DROP:
                body = record.replace(b'{"repeated_names":2}', other)
                assert apply_to_page(policy, [body]) == [b'{"$normalised":null}']
