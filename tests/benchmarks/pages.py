"""Sessions as JSON text, composed from prepared texts: all different, and quickly made.

Every body begins with id, organisation, `createdAt` and `updatedAt`, and ends with the messages. So a later version is made by
replacing text at known positions (`changed`, `grown`). The order of members means nothing in JSON.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

from .words import SENTENCES, new_id, sentences

Mix: TypeAlias = Literal["plain", "inline", "long", "artifacts", "large"]

MILLISECOND: Final = 1_000
SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: The present of every data set, µs.
END: Final = (datetime(2026, 2, 11, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
#: The same for all sizes: a larger history begins earlier, and a day has as many sessions in a small warehouse.
SESSIONS_A_DAY: Final = 10_000

#: Beginning of the planted credentials; a test searches the warehouse for it.
PLANTED: Final = "SECRET-"
_PLANTED_EVERY: Final = 10

_LOW: Final = SENTENCES - 1
_SHIFT: Final = SENTENCES.bit_length() - 1
_UPDATED_AT: Final = len('{"id":"","orgId":"","createdAt":"","updatedAt":"') + 36 + 36 + 24
_STAMP: Final = 24
_MODELS: Final = (("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-3-5-haiku"))
_ANALYSES: Final = ("summary", "structuredData", "successEvaluation", "structuredOutput")


@dataclass(frozen=True, slots=True)
class Made:
    """One session. Times in µs (whole milliseconds); `head`: the text up to the opening bracket of the messages.

    `costs`: the part of `head` that the source adds last.
    """

    created: int
    updated: int
    head: str
    messages: list[str]
    costs: str

    @property
    def body(self) -> bytes:
        """The JSON text."""
        return f"{self.head}{','.join(self.messages)}]}}".encode()

    @property
    def pending(self) -> bytes:
        """The JSON text before the costs are known."""
        head = self.head.replace(f"{self.costs},", "", 1)
        return f"{head}{','.join(self.messages)}]}}".encode()


def iso(moment: int) -> str:
    """`2026-01-02T03:04:05.678Z`."""
    return (_EPOCH + timedelta(microseconds=moment)).isoformat(timespec="milliseconds")[:-6] + "Z"


class Author:
    """Makes sessions of one organisation."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(f"author/{seed}")
        self._say = sentences(seed)
        self.org_id = new_id(self._rng)
        self._assistants = [new_id(self._rng) for _ in range(12)]
        self._phones = [new_id(self._rng) for _ in range(4)]
        self._outputs = [new_id(self._rng) for _ in range(3)]
        self._made = 0

    def history(
        self, mix: Mix, sessions: int, *, end: int = END, per_day: int = SESSIONS_A_DAY
    ) -> Iterator[Made]:
        """Sessions in order of creation, the last one shortly before `end`, µs."""
        gap = DAY // per_day
        for n in range(sessions):
            created = end - (sessions - n) * gap + int(self._rng.random() * gap)
            yield self.session(mix, created - created % MILLISECOND, end)

    def session(self, mix: Mix, created: int, end: int = END) -> Made:
        """A session created at `created`, in its state at `end`, µs."""
        rng = self._rng
        self._made += 1
        if mix == "large":  # 50 KB on average
            mix = "long" if rng.random() < 0.16 else "inline"
            rich = mix == "inline"
        else:
            rich = mix == "artifacts"
        count = 500 if mix == "long" else min(3 + int(rng.expovariate(1 / 16.9)), 120)
        messages = rng.choice((self._chat, self._chat, self._timed, self._call))(created, count)
        updated = created + count * 20 * SECOND + int(rng.expovariate(1 / 600) * SECOND)
        if updated >= end:  # not over yet
            updated = created + int(rng.random() * (end - created))
        if rng.random() < 0.03 and created + 600 * SECOND < end:  # resumed days later
            updated = created + int(rng.random() * min(end - created, 10 * DAY))
        updated = max(created, updated - updated % MILLISECOND)
        start = f'{{"id":"{new_id(rng)}","orgId":"{self.org_id}","createdAt":"{iso(created)}","updatedAt":"{iso(updated)}"'
        parts = [start, self._settings(), costs := self._costs(count)]
        if mix == "inline":
            parts.append(self._assistant(planted=self._made % _PLANTED_EVERY == 0))
        parts.append(self._artifact(messages, created, rich=rich))
        return Made(created, updated, ",".join(parts) + ',"messages":[', messages, costs)

    def line(self, role: str = "assistant") -> str:
        """The text of one more message."""
        return f'{{"role":"{role}","content":"{self._text()}"}}'

    # -- messages ----------------------------------------------------------------------------------------------

    def _text(self) -> str:
        """Two sentences and a number that occurs nowhere else."""
        bits = self._rng.getrandbits(64)
        say = self._say
        return f"{say[bits & _LOW]} NW-{bits >> 34:x} {say[(bits >> _SHIFT) & _LOW]}"

    def _system(self) -> str:
        return f"You are Riley, the friendly assistant of Northwind Home. {self._text()} {self._text()}"

    def _chat(self, created: int, count: int) -> list[str]:
        """Messages of a chat: all are `{role, content}`."""
        text, rng = self._text, self._rng
        said = [f'{{"role":"system","content":"{self._system()}"}}']
        while len(said) < count:
            said.append(f'{{"role":"user","content":"{text()}"}}')
            if rng.random() < 0.08:
                said += self._tool()
            said.append(f'{{"role":"assistant","content":"{text()}"}}')
        return said[:count]

    def _timed(self, created: int, count: int) -> list[str]:
        """Messages as in the contract: those of the customer have a time."""
        text, rng = self._text, self._rng
        began = created // MILLISECOND
        at = began + 500
        said = [f'{{"role":"system","message":"{self._system()}","time":{at},"secondsFromStart":0}}']
        while len(said) < count:
            at += 7_000 + rng.getrandbits(13)
            said.append(
                f'{{"role":"user","message":"{text()}","time":{at},"endTime":{at + 3_120},'
                f'"secondsFromStart":{(at - began) / 1000}}}'
            )
            if rng.random() < 0.08:
                said += self._tool()
            said.append(f'{{"role":"assistant","content":"{text()}"}}')
        return said[:count]

    def _call(self, created: int, count: int) -> list[str]:
        """Messages of a voice call: other roles, and all have times."""
        text, rng = self._text, self._rng
        began = created // MILLISECOND
        at, said, role = began, list[str](), "bot"
        while len(said) < count:
            at += 4_000 + rng.getrandbits(13)
            said.append(
                f'{{"role":"{role}","message":"{text()}","time":{at},"endTime":{at + 2_480},'
                f'"secondsFromStart":{(at - began) / 1000},"duration":{2_480 + at % 97}}}'
            )
            role = "user" if role == "bot" else "bot"
        return said

    def _tool(self) -> list[str]:
        """A tool call and its result, with JSON inside JSON strings."""
        number = self._rng.getrandbits(40)
        asked = (
            f'{{"role":"assistant","content":null,"tool_calls":[{{"id":"call_{number:x}","type":"function","function":'
            f'{{"name":"look_up_order","arguments":"{{\\"order\\":\\"NW-{number:x}\\",\\"full\\":true}}"}}}}]}}'
        )
        answered = (
            f'{{"role":"tool","tool_call_id":"call_{number:x}","content":"{{\\"order\\":\\"NW-{number:x}\\",'
            f'\\"total\\":{number % 90_000 / 100},\\"state\\":\\"on its way\\"}}"}}'
        )
        return [asked, answered]

    # -- other members -----------------------------------------------------------------------------------------

    def _settings(self) -> str:
        rng = self._rng
        who = int(rng.random() ** 2 * 40_000)
        email = f',"email":"customer{who}@example.com"' if who % 3 == 0 else ""
        name = ',"name":"Follow-up"' if rng.random() < 0.1 else ""
        return (
            f'"status":"completed"{name},"expirationSeconds":86400,"assistantId":"{rng.choice(self._assistants)}",'
            f'"customer":{{"number":"+1415{5_550_000 + who}","name":"Customer {who}"{email}}},'
            f'"phoneNumberId":"{rng.choice(self._phones)}","metadata":{{"variableValues":{{"firstName":"C{who}"}}}}'
        )

    def _costs(self, count: int) -> str:
        """Three costs on average: of a model, of up to two analyses, and of the session."""
        rng = self._rng
        provider, model = rng.choice(_MODELS)
        used = count * rng.randrange(150, 420)
        model_cost = (
            f'{{"type":"model","model":{{"provider":"{provider}","model":"{model}","temperature":0.3}},'
            f'"promptTokens":{used},"completionTokens":{used // 9},"cachedPromptTokens":{used // 3},'
            f'"cost":{used * 3e-6:.6f}}}'
        )
        analyses = [
            f'{{"type":"analysis","analysisType":"{analysis}","model":{{"provider":"openai","model":"gpt-4o-mini"}},'
            f'"promptTokens":{used // 5},"completionTokens":{used // 70},"cost":{used * 1e-7:.6f}}}'
            for analysis in rng.sample(_ANALYSES, rng.randrange(3))
        ]
        items = [model_cost, *analyses, f'{{"type":"session","cost":{0.005 + count * 0.0005:.6f}}}']
        return f'"cost":{used * 3.3e-6 + 0.005:.6f},"costs":[{",".join(items)}]'

    def _artifact(self, messages: list[str], created: int, *, rich: bool) -> str:
        rng, (csat, solved, topic) = self._rng, self._outputs
        artifact = (
            f'"artifact":{{"structuredOutputs":{{"{csat}":{{"name":"CSAT","result":{rng.randrange(1, 6)}}},'
            f'"{solved}":{{"name":"Resolved","result":{"true" if rng.random() < 0.8 else "false"}}},'
            f'"{topic}":{{"name":"Topics","result":["delivery","NW-{rng.getrandbits(24):x}"]}}}},'
            f'"structuredOutputsLastUpdatedAt":"{iso(created + 60 * SECOND)}"'
        )
        if rich:
            transcript = "\\n".join(self._text() for _ in messages)
            number = new_id(rng)
            artifact += (
                f',"transcript":"{transcript}","messages":[{",".join(messages[:40])}],'
                f'"recordingUrl":"https://storage.vapi.example/{number}-mono.wav"'
            )
        return artifact + "}"

    def _assistant(self, *, planted: bool) -> str:
        """An embedded assistant of about 20 KB with a long prompt and tools; some have credentials, as in reality."""
        text: Callable[[], str] = self._text
        tools = ",".join(
            f'{{"type":"function","function":{{"name":"tool_{n}","description":"{text()}","parameters":'
            f'{{"type":"object","properties":{{"order":{{"type":"string","description":"{text()}"}}}},'
            f'"required":["order"]}}}}}}'
            for n in range(8)
        )
        prompt = "\\n".join(text() for _ in range(72))
        secrets = ""
        if planted:
            number = self._rng.getrandbits(64)
            secrets = (
                f',"server":{{"url":"https://hooks.northwind.example/vapi?token={PLANTED}{number:x}",'
                f'"secret":"{PLANTED}{number:x}","headers":{{"Authorization":"Bearer {PLANTED}{number:x}"}}}},'
                f'"credentials":[{{"provider":"openai","apiKey":"{PLANTED}{number:x}"}}]'
            )
        return (
            '"assistant":{"name":"Riley","firstMessageMode":"assistant-speaks-first","voice":{"provider":"vapi",'
            '"voiceId":"Elliot"},"model":{"provider":"openai","model":"gpt-4o","temperature":0.3,"maxTokens":250,'
            f'"messages":[{{"role":"system","content":"{prompt}"}}],"tools":[{tools}]}}{secrets}}}'
        )


def changed(body: bytes, updated: int, message: str) -> bytes:
    """A later version of a body, with one more message."""
    return b"".join((restamped(body, updated)[:-2], b",", message.encode(), b"]}"))


def restamped(body: bytes, updated: int) -> bytes:
    """The same body with another `updatedAt`."""
    return body[:_UPDATED_AT] + iso(updated).encode() + body[_UPDATED_AT + _STAMP :]


def grown(made: Made, versions: int, until: int) -> Iterator[tuple[int, bytes]]:
    """The versions of a conversation from its beginning to `until`: `updatedAt` (µs) and JSON text."""
    for version in range(1, versions + 1):
        updated = made.created + (until - made.created) * (version - 1) // versions
        updated -= updated % MILLISECOND
        head = made.head if version == versions else made.head.replace('"completed"', '"active"', 1)
        head = f"{head[:_UPDATED_AT]}{iso(updated)}{head[_UPDATED_AT + _STAMP :]}"
        so_far = made.messages[: max(1, len(made.messages) * version // versions)]
        yield updated, f"{head}{','.join(so_far)}]}}".encode()
