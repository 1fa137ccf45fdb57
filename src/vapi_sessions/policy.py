"""What of a person is kept: one level for the customer's particulars, one for what was said. Pure.

Applied to redacted sessions before anything is written. Two kinds of places are told apart, at any depth:

- *Particulars*: number, e-mail, name, SIP URI, external id and extension in every `customer` object (and `customers[]`), the
  session's own `name`, and in `metadata` and `variableValues` what has such a name. Pseudonyms are HMAC-SHA-256 under the
  user's key, so equal values stay equal across sessions and joins still work. The customer's particulars are also
  replaced where they occur word for word in other texts, prompts with substituted values say, except in a conversation
  that is kept as it is.
- *Text*: what was said, called and answered, wherever it stands: messages, tool calls, transcripts, prompts, extracted
  outputs. `mask` replaces what identifies by its kind; `drop` leaves lengths, counts and numbers of extracted outputs. With
  either, links to recordings and logs go too, because what is masked here is plain there.

`customerId`, the source's own id of a saved customer, is a pseudonym already; it goes with `drop` alone.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec

from vapi_sessions import masking
from vapi_sessions.documents import (
    change_list,
    change_object,
    is_object,
    looks_like_json,
    rewrite_or_stub,
    rewrite_text,
)
from vapi_sessions.identity import normalised

#: Part of every content hash: raise it when a rule changes, and what is stored is treated again.
POLICY_VERSION: Final = 1


class PersonalData(StrEnum):
    """What becomes of the customer's particulars, from loose to strict."""

    KEEP = "keep"
    PSEUDONYMISE = "pseudonymise"
    DROP = "drop"


class MessageText(StrEnum):
    """What becomes of what was said, from loose to strict."""

    KEEP = "keep"
    MASK = "mask"
    DROP = "drop"


#: The particulars of a customer object, and the kind under which each is hashed.
PARTICULARS: Final = {
    "number": "number",
    "extension": "extension",
    "email": "email",
    "name": "name",
    "sipUri": "sipUri",
    "externalId": "externalId",
}
#: Names under which users put particulars into `metadata` and `variableValues`, without separators and in lower case.
_OWN_NAMES: Final = (
    (
        re.compile(r"(?:customer|caller|user|contact|client|patient|guest|lead)?(?:e?mail)(?:address)?"),
        "email",
    ),
    (
        re.compile(
            r"(?:customer|caller|user|contact|client|patient|guest|lead)?(?:(?:tele)?phone|mobile|cell|whatsapp)?(?:number|phone|mobile|cell)"
        ),
        "number",
    ),
    (
        re.compile(
            r"(?:customer|caller|user|contact|client|patient|guest|lead)?(?:first|last|full|given|family|sur|middle)?name"
        ),
        "name",
    ),
    (re.compile(r"(?:customer)?externalid"), "externalId"),
    (re.compile(r"sip(?:uri)?"), "sipUri"),
    (
        re.compile(
            r"(?:street|postal|home|billing|shipping)?address|dateofbirth|birth(?:date|day)|dob|ssn|iban"
        ),
        "other",
    ),
)
_PSEUDONYM: Final = re.compile("psn_[0-9a-f]{32}")
_TEXT_NAMES: Final = frozenset({
    "content", "message", "text", "transcript", "originalMessage", "refusal", "arguments", "result", "prompt",
    "globalPrompt", "systemPrompt", "firstMessage", "endCallMessage", "voicemailMessage", "exact", "summary",
    "conversationalContext", "customGreeting", "messages",
})  # fmt: skip
_FREE: Final = frozenset({"metadata", "variableValues", "variables"})
_RECORDINGS: Final = re.compile(
    r"(?:presigned|recording|log|pcap|video|stereo|mono|combined|assistant|customer)\w*Url\Z"
)
#: A particular shorter than this is not looked for in other texts.
_SHORTEST: Final = 4


@dataclass(frozen=True, slots=True)
class Policy:
    """The two levels, and the key of the pseudonyms. Falsy if everything is kept."""

    personal: PersonalData = PersonalData.KEEP
    text: MessageText = MessageText.KEEP
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.personal is PersonalData.PSEUDONYMISE and not self.key:
            raise ValueError("pseudonyms need a key")

    def __bool__(self) -> bool:
        return self.personal is not PersonalData.KEEP or self.text is not MessageText.KEEP

    @property
    def key_check(self) -> str:
        """Tells one key from another, and says nothing of either; "" without pseudonyms."""
        if self.personal is not PersonalData.PSEUDONYMISE:
            return ""
        return self.pseudonym("key check", "vapi-sessions")[4:20]

    def page(self, bodies: Sequence[bytes]) -> list[bytes]:
        """The bodies of a page under this policy; the same objects where nothing applies."""
        if not self:
            return list(bodies)
        return [rewrite_or_stub(body, self.apply) for body in bodies]

    def apply(self, session: Any) -> Any:
        """One decoded session under this policy; the same object if there was nothing to do."""
        return _Walk(self, session).session(session) if is_object(session) else session

    def pseudonym(self, kind: str, value: str) -> str:
        """`psn_` and 32 hexadecimal digits, the same for the same value of a kind."""
        if _PSEUDONYM.fullmatch(value):
            return value
        message = f"{kind}\0{normalised(kind, value)}".encode("utf-8", "surrogatepass")
        return "psn_" + hmac.new(self.key or b"", message, hashlib.sha256).hexdigest()[:32]

    def replaced(self, kind: str, value: Any) -> Any:
        """A particular: a pseudonym, or null."""
        if self.personal is PersonalData.KEEP or value is None or type(value) is bool:
            return value
        if self.personal is PersonalData.DROP:
            return None
        if type(value) is list:
            return change_list(value, lambda item: self.replaced(kind, item))
        if is_object(value):
            return change_object(value, lambda _, member: self.replaced(kind, member))
        text = value if type(value) is str else _number_text(value)
        if not text.strip():
            return value
        clean = self.pseudonym(kind, text)
        return value if clean == value else clean


def _number_text(value: Any) -> str:
    return bytes(value).decode() if isinstance(value, msgspec.Raw) else str(value)


class _Walk:
    """One session: its customer's particulars are gathered first, then everything is walked."""

    def __init__(self, policy: Policy, session: Any) -> None:
        self._policy = policy
        self._personal = policy.personal is not PersonalData.KEEP
        self._said: Callable[[str], str] = {
            MessageText.KEEP: _same,
            MessageText.MASK: masking.mask,
            MessageText.DROP: masking.drop,
        }[policy.text]
        self._speaks = policy.text is not MessageText.KEEP
        known = _particulars(session)
        self._kinds = {value: kind for kind, value in known}
        words = sorted((re.escape(value) for value in self._kinds), key=len, reverse=True)
        self._known = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)") if words else None

    def session(self, session: Any) -> Any:
        return change_object(session, self._top)

    def _top(self, name: str, value: Any) -> Any:
        if name in ("id", "orgId", "createdAt", "updatedAt"):
            return value
        if name == "name":
            return self._policy.replaced("sessionName", value)
        if name == "customerId":
            return None if self._policy.personal is PersonalData.DROP else value
        return self._member(name, value, conversation=name in ("messages", "artifact"), free=False)

    def _member(self, name: str, value: Any, *, conversation: bool, free: bool) -> Any:
        if self._personal:
            if name == "customer" and is_object(value):
                value = change_object(value, self._particular)
            elif name == "customers" and type(value) is list:
                value = change_list(
                    value, lambda item: change_object(item, self._particular) if is_object(item) else item
                )
            elif free and (kind := _own_kind(name)) is not None:
                return self._policy.replaced(kind, value)
            if name == "variableValues" and self._policy.personal is PersonalData.DROP:
                return None
        if self._speaks:
            if _RECORDINGS.search(name) and type(value) is str:
                return None
            if name in _TEXT_NAMES:
                return self._text(value, labels=_labels(name, value))
            if name in ("structuredOutputs", "scorecards", "analysis"):
                return self._text(value, labels=_MESSAGE, numbers=True)
        return self._walk(value, conversation=conversation, free=free or name in _FREE)

    def _walk(self, value: Any, *, conversation: bool, free: bool) -> Any:
        if type(value) is str:
            return self._other_text(value, conversation=conversation, free=free)
        if type(value) is list:
            return change_list(value, lambda item: self._walk(item, conversation=conversation, free=free))
        if is_object(value):
            return change_object(
                value, lambda name, member: self._member(name, member, conversation=conversation, free=free)
            )
        return value

    def _particular(self, name: str, value: Any) -> Any:
        kind = PARTICULARS.get(name)
        return value if kind is None else self._policy.replaced(kind, value)

    def _other_text(self, text: str, *, conversation: bool, free: bool) -> str:
        """A text that is not what was said: the customer's particulars in it are replaced."""
        if free and self._speaks:
            text = masking.mask(text)
        if self._personal and (free or not conversation) and self._known is not None:
            return self._without_known(text)
        return text

    def _without_known(self, text: str) -> str:
        def instead(match: re.Match[str]) -> str:
            kind = self._kinds[match[0]]
            return (
                f"[{kind}]"
                if self._policy.personal is PersonalData.DROP
                else self._policy.pseudonym(kind, match[0])
            )

        clean = self._known.sub(instead, text) if self._known is not None else text
        return text if clean == text else clean

    def _text(self, value: Any, *, labels: frozenset[str], numbers: bool = False) -> Any:
        """What was said: every leaf, except what a message is. Numbers stay only where they are extracted measures."""
        if type(value) is str:
            return self._said_text(value)
        if type(value) is list:
            return change_list(value, lambda item: self._text(item, labels=labels, numbers=numbers))
        if is_object(value):
            return change_object(
                value, lambda name, member: self._text_member(name, member, labels=labels, numbers=numbers)
            )
        if value is None or type(value) is bool or numbers:
            return value
        if self._policy.text is MessageText.DROP:
            return None
        text = _number_text(value)
        clean = masking.mask(text)
        return value if clean == text else clean

    def _text_member(self, name: str, value: Any, *, labels: frozenset[str], numbers: bool) -> Any:
        if name in labels:
            return value
        if self._personal and name == "customer" and is_object(value):
            value = change_object(value, self._particular)
        inner = _labels(name, value) if name in _TEXT_NAMES else labels
        return self._text(value, labels=_NOTHING if name in _FREE else inner, numbers=numbers)

    def _said_text(self, text: str) -> str:
        if self._policy.text is MessageText.DROP:
            return masking.drop(text)
        if looks_like_json(text):
            inner = rewrite_text(text, lambda value: self._text(value, labels=_NOTHING))
            if inner is not None:
                return inner
        clean = self._said(text)
        if self._known is not None:
            clean = self._known.sub(lambda match: f"[{self._kinds[match[0]]}]", clean)
        return text if clean == text else clean


#: What a message is, and when it was said, for how long, and how sure the source is of it.
_MESSAGE: Final = frozenset({
    "role", "type", "id", "toolCallId", "tool_call_id", "name",
    "time", "endTime", "secondsFromStart", "duration", "startTime", "confidence", "wordLevelConfidence", "cost",
})  # fmt: skip
_PART: Final = frozenset({"type"})
_NOTHING: Final = frozenset[str]()


def _labels(name: str, value: Any) -> frozenset[str]:
    """The members that stay in an object under this name: those of messages, and the type of a part of one."""
    if name == "messages":
        return _MESSAGE
    return _PART if name == "content" and type(value) is list else _NOTHING


def _same(text: str) -> str:
    return text


def _own_kind(name: str) -> str | None:
    bare = re.sub("[-_. ]", "", name).lower()
    return next((kind for pattern, kind in _OWN_NAMES if pattern.fullmatch(bare)), None)


def _particulars(session: Any) -> list[tuple[str, str]]:
    """Kind and value of what the session's own customer is known by, where it is long enough to be told from a word."""
    customers = [value for name, value in _pairs(session) if name == "customer"]
    return [
        (PARTICULARS[name], value)
        for customer in customers
        for name, value in _pairs(customer)
        if name in PARTICULARS
        and type(value) is str
        and len(value) >= _SHORTEST
        and not _PSEUDONYM.fullmatch(value)
    ]


def _pairs(value: Any) -> Sequence[tuple[str, Any]]:
    if type(value) is dict:
        return list(value.items())
    return value if is_object(value) else ()
