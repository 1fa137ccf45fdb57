"""Building single sessions: their owner, messages, costs, completion and artifact.

The generated history and the traffic of `--live` use it. All randomness comes from the given `random.Random`.
"""

from __future__ import annotations

import random
from typing import Any, Final

from vapi_emulator import planted
from vapi_emulator.stored import Session
from vapi_emulator.talk import Customer, Message, Talk, choose_style, customer_of, fixed_id, new_id, style_of
from vapi_emulator.times import DAY_US, SECOND_US, from_us, iso_ms

_MODELS: Final = (
    {"provider": "openai", "model": "gpt-4o"},
    {"provider": "openai", "model": "gpt-4.1-mini"},
    {"provider": "anthropic", "model": "claude-sonnet-4-20250514"},
)
_ANALYSES: Final = ("summary", "structuredData", "successEvaluation", "structuredOutput")
_ASSISTANTS: Final = ("Riley", "Riley after hours", "Returns desk", "Appointment desk", "Riley (español)")
_TOPICS: Final = ("delivery", "return", "damage", "invoice", "appointment", "other")
#: Most costs arrive within half an hour, some take days, a few never arrive.
_PENDING_FOR_US: Final = 1_800 * SECOND_US
_LONG_PENDING_US: Final = 3 * DAY_US
_LIVE_MOMENT: Final = 20 * SECOND_US


def open_session(rng: random.Random, org_id: str, who: Customer, start_us: int, *, oddities: bool) -> Session:
    """A session without messages, with its customer, assistant, squad and phone number."""
    session: Session = {
        "id": new_id(rng),
        "orgId": org_id,
        "status": "active",
        "expirationSeconds": 86_400 if rng.random() < 0.8 else rng.choice((3_600, 604_800, 2_592_000)),
    }
    prompt = who.pool.system.format(first=who.first, city=who.city, day=from_us(start_us).strftime("%d.%m."))
    chance = rng.random()
    if chance < 0.80:
        number = min(int(rng.expovariate(1.0)), len(_ASSISTANTS) - 1)
        session["assistantId"] = fixed_id(org_id, "assistant", number)
        if chance < 0.05:
            session["assistant"] = planted.transient_assistant(_ASSISTANTS[number], prompt, rng.randrange(4))
        elif chance < 0.09:
            session["assistantOverrides"] = planted.assistant_overrides(
                {"firstName": who.first, "city": who.city}
            )
    elif chance < 0.90:
        session["assistant"] = planted.transient_assistant("Pop-up assistant", prompt, rng.randrange(4))
    elif chance < 0.95:
        session["squadId"] = fixed_id(org_id, "squad", rng.randrange(2))
    elif chance < 0.97:
        session["squad"] = planted.transient_squad(prompt, fixed_id(org_id, "assistant", 0))
    if rng.random() < 0.12:
        session["name"] = rng.choice(("Follow-up", "VIP", "Complaint", f"{who.first} – {who.city}"))[:40]
    if rng.random() < 0.93:
        session["customer"] = who.record(org_id)
        if rng.random() < 0.4:
            session["customerId"] = fixed_id(org_id, "customer", who.index)
    if (chance := rng.random()) < 0.6:
        session["phoneNumberId"] = fixed_id(org_id, "phone", rng.randrange(3))
    elif chance < 0.64:
        session["phoneNumber"] = planted.phone_number("+14155550100")
    if oddities:
        _add_oddities(rng, session, who)
    return session


def _add_oddities(rng: random.Random, session: Session, who: Customer) -> None:
    """Add fields that the contract does not declare, as real sources do."""
    if rng.random() < 0.5:
        session["metadata"] = {
            "variableValues": {"firstName": who.first, "city": who.city, "language": who.pool.language}
        }
    chance = rng.random()
    if chance < 0.01:
        session["integrations"] = planted.INTEGRATIONS
    elif chance < 0.03:
        session["channel"] = rng.choice(("sms", "web", "whatsapp"))
    elif chance < 0.035:
        session["experiment"] = {"arm": rng.choice("AB"), "weights": [0.5, None, True]} | planted.HARMLESS


def costs(
    rng: random.Random, messages: int, *, completed: bool, oddities: bool
) -> tuple[list[dict[str, Any]], float]:
    """The cost items of a session and their sum in USD."""
    model = rng.choice(_MODELS)
    prompt, completion = messages * rng.randrange(150, 420), messages * rng.randrange(12, 60)
    item: dict[str, Any] = {
        "type": "model",
        "model": {**model, "apiKey": "SECRET-cost-model"} if oddities and rng.random() < 0.02 else model,
        "promptTokens": prompt,
        "completionTokens": completion,
    }
    if rng.random() < 0.5:
        item["cachedPromptTokens"] = prompt // 3
    if rng.random() < 0.1:
        item["reasoningTokens"] = completion * 4
    item["cost"] = round(prompt * 2.5e-6 + completion * 1e-5, 6)
    # Derived from the values, not drawn: the same seed must keep giving the same history.
    if prompt % 41 == 0:  # billed by duration
        item["seconds"] = round(completion / 16, 2)
    if prompt % 43 == 0:
        item["usageComplete"] = prompt % 2 == 0
    items = [item]
    if completed:
        for analysis in _ANALYSES:
            if rng.random() < 0.55:
                used = rng.randrange(400, 2500)
                items.append(
                    {
                        "type": "analysis",
                        "analysisType": analysis,
                        "model": _MODELS[1],
                        "promptTokens": used,
                        "completionTokens": used // 9,
                        "cost": round(used * 6e-7, 6),
                    }
                )
    items.append({"type": "session", "cost": round(0.005 + 0.0005 * messages, 6)})
    if oddities and rng.random() < 0.01:
        items.append({"type": "chat", "cost": 0.0002, "minutes": None})
    return items, round(sum(item["cost"] for item in items), 6)


def set_costs(rng: random.Random, session: Session, *, oddities: bool) -> None:
    """Set the costs of a session."""
    completed = session.get("status") == "completed"
    session["costs"], session["cost"] = costs(
        rng, len(session.get("messages") or ()), completed=completed, oddities=oddities
    )


def set_pending(rng: random.Random, session: Session, *, oddities: bool) -> None:
    """Make the costs of a session pending: absent, or with `oddities` sometimes null."""
    session.pop("cost", None)
    session.pop("costs", None)
    if oddities and rng.random() < 0.6:
        session["cost"] = None
        session["costs"] = [
            {"type": "model", "model": _MODELS[0], "promptTokens": 0, "completionTokens": 0, "cost": None},
            {"type": "session"},
        ]


def plain_text(message: Message) -> str | None:
    """The text of a message; None if it has none."""
    text = message.get("content") or message.get("message")
    return text if isinstance(text, str) else None


def complete(rng: random.Random, session: Session, now_us: int, *, oddities: bool) -> None:
    """Complete a session: its status, structured outputs and artifact."""
    session["status"] = "completed"
    org_id = session["orgId"]
    rating = rng.choice((5, 5, 5, 4, 4, 3, 2, 1))
    outputs: dict[str, Any] = {
        fixed_id(org_id, "output", 0): {"name": "CSAT", "result": rating},
        fixed_id(org_id, "output", 1): {"name": "Resolved", "result": rating > 2},
    }
    if rng.random() < 0.6:
        outputs[fixed_id(org_id, "output", 2)] = {"name": "Topics", "result": rng.sample(_TOPICS, 2)}
    if rng.random() < 0.3:
        result: Any = {"order": f"NW-{rng.randrange(10**6)}", "refund": {"amount": 19.9, "currency": "EUR"}}
        outputs[fixed_id(org_id, "output", 3)] = {"name": "Order", "result": None if rating < 2 else result}
    artifact: dict[str, Any] = {
        "structuredOutputs": outputs,
        "structuredOutputsLastUpdatedAt": iso_ms(now_us),
    }
    messages = session.get("messages") or []
    if rng.random() < 0.15:
        lines = [f"{message.get('role')}: {text}" for message in messages if (text := plain_text(message))]
        artifact["transcript"] = "\n".join(lines[1:])
    if rng.random() < 0.05:
        artifact["messages"] = [message for message in messages if "time" in message]
    if rng.random() < 0.1:
        artifact["recordingUrl"] = f"https://storage.vapi.example/{session['id']}-mono.wav"
        artifact |= planted.presigned_urls(session["id"], iso_ms(now_us + DAY_US))
    if oddities and rng.random() < 0.2:
        artifact["variableValues"] = {"firstName": customer_of(session).first, "rating": rating}
    session["artifact"] = artifact


def write_turns(
    rng: random.Random,
    session: Session,
    who: Customer,
    now_us: int,
    turns: int,
    *,
    returning: bool,
    oddities: bool,
) -> None:
    """Append messages to a session; the last is from `now_us`."""
    messages = list(session.get("messages") or ())
    talk = Talk(
        rng,
        who,
        style_of(messages) if messages and oddities else choose_style(rng, oddities=oddities),
        now_us - turns * _LIVE_MOMENT,
        end_us=now_us,
        oddities=oddities,
        messages=messages,
    )
    first = next((message["time"] for message in messages if "time" in message), None)
    if first is not None:
        talk.start_us = first * 1000
    if not messages:
        talk.system()
        talk.greet()
    if returning:
        talk.return_later()
    for _ in range(turns):
        talk.turn()
    if len(talk.messages) == len(session.get("messages") or ()):
        talk.messages.append({"role": "assistant", "content": who.pool.closing[1].format(first=who.first)})
    session["messages"] = talk.messages


def finish(rng: random.Random, session: Session, last_us: int, until_us: int, *, oddities: bool) -> int:
    """Complete a session after its last message and set its costs, if there is time until `until_us`. Returns the last change."""
    quiet = until_us - last_us
    if quiet > 600 * SECOND_US and rng.random() < 0.72:
        last_us += rng.randrange(5 * SECOND_US, 600 * SECOND_US)
        complete(rng, session, last_us, oddities=oddities)
    chance = rng.random()
    filled_us = last_us + rng.randrange(
        20 * SECOND_US, _PENDING_FOR_US if chance > 0.05 else _LONG_PENDING_US
    )
    if filled_us < until_us and chance > 0.003:
        set_costs(rng, session, oddities=oddities)
        return filled_us
    set_pending(rng, session, oddities=oddities)
    return last_us
