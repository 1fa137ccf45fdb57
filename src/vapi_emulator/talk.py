"""Customers, and the messages of one conversation. All randomness comes from the given `random.Random`."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from vapi_emulator import planted
from vapi_emulator.stored import Session, encode
from vapi_emulator.texts import CURIOSITIES, POOLS, TERMS, Pool
from vapi_emulator.times import DAY_US, SECOND_US, from_us

Message = dict[str, Any]
#: The form of messages: `timed` (system and user messages as in the contract), `chat` ({role, content} only), `call`
#: (timed, with the roles bot, tool_calls and tool_call_result).
Style = Literal["timed", "chat", "call"]

_NAMESPACE: Final = uuid.UUID("5e551011-0000-4000-8000-000000000000")
_TOOLS: Final = ("look_up_order", "check_calendar", "cancel_order")


@lru_cache(maxsize=4096)
def fixed_id(org_id: str, kind: str, number: int) -> str:
    """The id of the n-th assistant, squad, … of an organisation; always the same."""
    return str(uuid.uuid5(_NAMESPACE, f"{org_id}/{kind}/{number}"))


def new_id(rng: random.Random) -> str:
    """A random UUID (version 4) from the given generator."""
    bits = rng.getrandbits(128)
    text = f"{(bits & ~(0xF000 << 64) & ~(0xC << 60)) | (4 << 76) | (8 << 60):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer, who may have several sessions."""

    number: str
    name: str
    city: str
    pool: Pool
    index: int

    @property
    def first(self) -> str:
        """The first name."""
        return self.name.split()[0]

    def record(self, org_id: str) -> dict[str, Any]:
        """The `customer` of a session; some have an e-mail address, a SIP URI or an external id."""
        customer: dict[str, Any] = {"number": self.number, "name": self.name}
        if self.index % 3 == 0:
            customer["email"] = f"customer{self.index}@example.com"
        if self.index % 5 == 0:
            customer["externalId"] = f"crm-{self.index:06d}"
        if self.index % 17 == 0:
            customer["sipUri"] = f"sip:{self.index}@pbx.example.com"
            customer["extension"] = str(100 + self.index % 900)
        if self.index % 29 == 0:
            customer["numberE164CheckEnabled"] = False
        if self.index % 31 == 0:
            customer["assistantOverrides"] = planted.assistant_overrides(
                {"tier": "gold", "owner": org_id[:8]}
            )
        return customer


_SHARES: Final = [pool for pool in POOLS for _ in range(pool.share)]


@lru_cache(maxsize=8192)
def customer(index: int) -> Customer:
    """The customer with this number; always the same person."""
    pool = _SHARES[index * 37 % len(_SHARES)]
    return Customer(
        number=f"{pool.prefix}{index % 100_000:05d}",
        name=pool.names[index % len(pool.names)],
        city=pool.cities[index % len(pool.cities)],
        pool=pool,
        index=index,
    )


def customer_of(session: Session) -> Customer:
    """The customer of an existing session; one who speaks English if the session does not tell."""
    number = (session.get("customer") or {}).get("number") or ""
    for pool in POOLS:
        if number.startswith(pool.prefix):
            name = (session.get("customer") or {}).get("name") or pool.names[0]
            return Customer(number, name, pool.cities[0], pool, 0)
    return Customer(number, POOLS[0].names[0], POOLS[0].cities[0], POOLS[0], 0)


class Talk:
    """Writes messages. Each one advances `now_us`; none is written at or after `end_us`."""

    def __init__(
        self,
        rng: random.Random,
        customer: Customer,
        style: Style,
        start_us: int,
        *,
        end_us: int,
        oddities: bool,
        messages: list[Message] | None = None,
    ) -> None:
        self.rng = rng
        self.customer = customer
        self.style = style
        self.start_us = start_us
        self.now_us = start_us
        self.end_us = end_us
        self.oddities = oddities
        self.messages: list[Message] = [] if messages is None else messages
        self.values = {
            "first": customer.first,
            "city": customer.city,
            "day": from_us(self.now_us + DAY_US * rng.randrange(1, 9)).strftime("%d.%m."),
            "order": f"NW-{rng.randrange(100_000, 999_999)}",
            "n": 10,
        }

    @property
    def over(self) -> bool:
        """Whether `end_us` is reached."""
        return self.now_us >= self.end_us

    def system(self) -> None:
        """Write the instructions; in some conversations they are a developer message."""
        text = self._fill(self.customer.pool.system)
        if self.style == "chat" or (self.oddities and self.rng.random() < 0.05):
            role = "developer" if self.rng.random() < 0.1 else "system"
            self._add({"role": role, "content": text}, 0.0)
        else:
            self._add({"role": "system", "message": text} | self._times(), 0.0)

    def greet(self) -> None:
        """Write the assistant's greeting."""
        self._assistant(self.customer.pool.greeting)

    def return_later(self) -> None:
        """Write the customer's first message after a break."""
        self._user(self.customer.pool.again)

    def close(self) -> None:
        """Write the farewell."""
        asked, answered = self.customer.pool.closing
        self._user(asked)
        self._assistant(answered)

    def turn(self) -> None:
        """Write a question and its answer, sometimes with a tool call."""
        rng = self.rng
        self.values["n"] = rng.randrange(5, 95)
        if rng.random() < 0.2:
            self._look_up()
            return
        asked, answered = rng.choice(self.customer.pool.exchanges)
        chance = rng.random()
        if chance < 0.004:
            answered += "\n\n" + TERMS * rng.randrange(8, 40 if self.oddities else 20)
        elif chance < 0.01:
            asked = rng.choice(CURIOSITIES)
        self._user(asked)
        self._assistant(answered)

    def _look_up(self) -> None:
        rng = self.rng
        asked, lead, outcome = rng.choice(self.customer.pool.lookups)
        self._user(asked)
        calls = 2 if rng.random() < 0.1 else 1
        ids = [f"call_{rng.getrandbits(96):024x}" for _ in range(calls)]
        arguments = {"order": self.values["order"], "city": self.values["city"]}
        result = {
            "order": self.values["order"],
            "state": rng.choice(("shipped", "packed", "open")),
            "day": self.values["day"],
            "parcels": self.values["n"],
        }
        if self.style == "call":
            self._call_tools(ids, arguments, result)
        else:
            self._chat_tools(ids, lead, arguments, result)
        self._assistant(outcome)

    def _chat_tools(
        self, ids: Sequence[str], lead: str, arguments: dict[str, Any], result: dict[str, Any]
    ) -> None:
        rng = self.rng
        odd = self.oddities and rng.random() < 0.1
        calls = [
            {
                "id": call_id,
                "type": "function",
                "function": {
                    "name": rng.choice(_TOOLS),
                    "arguments": arguments if odd else encode(arguments).decode(),
                },
            }
            for call_id in ids
        ]
        message: Message = {"role": "assistant"}
        chance = rng.random()
        if chance < 0.4:
            message["content"] = self._fill(lead)
        elif chance < 0.8 and self.oddities:
            message["content"] = None
        self._add(message | {"tool_calls": calls}, 1.5)
        for call_id in ids:
            failed = rng.random() < 0.05
            content = "Error: the order system did not answer in time." if failed else encode(result).decode()
            answer: Message = {"role": "tool", "tool_call_id": call_id, "content": content}
            if rng.random() < 0.5:
                answer["name"] = calls[0]["function"]["name"]  # type: ignore[index]  # built above
            if odd and rng.random() < 0.3:
                answer = {"role": "function", "name": "look_up_order", "content": content}
            self._add(answer, 0.8)

    def _call_tools(self, ids: Sequence[str], arguments: dict[str, Any], result: dict[str, Any]) -> None:
        name = self.rng.choice(_TOOLS)
        calls = [
            {
                "id": call_id,
                "type": "function",
                "function": {"name": name, "arguments": encode(arguments).decode()},
            }
            for call_id in ids
        ]
        self._add({"role": "tool_calls", "toolCalls": calls, "message": ""} | self._times(), 1.2)
        for call_id in ids:
            told = {
                "role": "tool_call_result",
                "toolCallId": call_id,
                "name": name,
                "result": encode(result).decode(),
            }
            self._add(told | self._times(), 0.9)

    def _user(self, text: str) -> None:
        text = self._fill(text)
        wait = 1.0 + self.rng.random() * 30
        if self.style == "chat":
            content: Any = text
            if self.oddities and self.rng.random() < 0.01:
                content = [{"type": "text", "text": text}]
            self._add({"role": "user", "content": content}, wait)
        else:
            spoken = 0.4 + len(text) / 15
            times = self._times(spoken)
            if self.rng.random() < 0.3:
                times["duration"] = round(spoken * 1000, 1)
            self._add({"role": "user", "message": text} | times | self._heard(text, spoken), wait + spoken)

    def _heard(self, text: str, spoken: float) -> Message:
        """The transcriber's confidence, in one session of forty. Derived from the time, so that no randomness is used up."""
        if self.start_us // 1000 % 40:
            return {}
        sure = round(0.55 + self.now_us // 1000 % 440 / 1000, 3)
        heard: Message = {"confidence": sure, "confidenceSource": "provider" if sure > 0.7 else "derived"}
        words = text.split()
        if len(words) % 2:
            at = self.now_us / SECOND_US
            each = spoken / len(words)
            heard["metadata"] = {
                "wordLevelConfidence": [
                    {
                        "word": word,
                        "start": round(at + n * each, 2),
                        "end": round(at + (n + 1) * each, 2),
                        "confidence": round(max(0.05, sure - n % 7 * 0.04), 3),
                    }
                    for n, word in enumerate(words)
                ]
            }
        else:
            heard["metadata"] = {"type": "sms", "source": self.customer.number}
        return heard

    def _assistant(self, text: str) -> None:
        text = self._fill(text)
        wait = 0.7 + self.rng.random() * 3
        if self.style == "call":
            spoken = 0.4 + len(text) / 16
            self._add({"role": "bot", "message": text, "source": ""} | self._times(spoken), wait + spoken)
            return
        message: Message = {"role": "assistant", "content": text}
        if self.oddities:
            chance = self.rng.random()
            if chance < 0.004:
                half = len(text) // 2
                message["content"] = [
                    {"type": "output_text", "text": text[:half]},
                    {"type": "text", "text": text[half:]},
                ]
            elif chance < 0.006:
                message = {"role": "assistant", "content": None, "refusal": "I can't help with that."}
            elif chance < 0.007:
                message = {"role": "supervisor", "content": text, "confidence": 0.5}
            elif chance < 0.009:
                message["metadata"] = {"latencyMs": 412, "source": {"kind": "model"}}
        self._add(message, wait)

    def _times(self, spoken: float | None = None) -> Message:
        times: Message = {"time": self.now_us // 1000}
        if spoken is not None:
            times["endTime"] = self.now_us // 1000 + int(spoken * 1000)
        times["secondsFromStart"] = round((self.now_us - self.start_us) / SECOND_US, 3)
        return times

    def _fill(self, text: str) -> str:
        return text.format_map(self.values) if "{" in text else text

    def _add(self, message: Message, seconds: float) -> None:
        if not self.over:
            self.messages.append(message)
            self.now_us += int(seconds * SECOND_US)


def choose_style(rng: random.Random, *, oddities: bool) -> Style:
    """A form of messages; without oddities only the declared one."""
    if not oddities:
        return "timed"
    chance = rng.random()
    return "chat" if chance < 0.55 else "timed" if chance < 0.85 else "call"


def style_of(messages: Sequence[Message]) -> Style:
    """The form of an existing conversation's messages."""
    if any("toolCalls" in message or message.get("role") == "bot" for message in messages):
        return "call"
    return "timed" if any("message" in message for message in messages) else "chat"
