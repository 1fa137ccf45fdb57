"""What of a person is kept: one level for what a person is known by, one for what was said. Pure.

Applied to redacted sessions before anything is written. `places` says what stands where; this module says what becomes of it:

- *Personal data* (`VAPI_PERSONAL_DATA`): pseudonyms are HMAC-SHA-256 under the user's key, so equal values stay equal across
  sessions and joins still work. With `drop` they are null. The customer's particulars are also replaced where prompts and
  whatever is free contain them, in any spelling (`identity`), except in a conversation that is kept as it is.
- *Text* (`VAPI_MESSAGE_TEXT`): what was said, called and answered, prompts, extracted outputs. `mask` replaces what identifies by
  its kind; `drop` leaves lengths and counts. With either, recordings and links to them go too, because what is masked here is
  plain there.

What `places` does not know is personal, and was said: `drop` of personal data leaves nothing of it, `mask` and `drop` of text treat it
as text, names of members included, and JSON inside strings. `customerId`, the source's own id of a saved customer, is a
pseudonym already; it goes with `drop` alone.
"""

from __future__ import annotations

import hashlib
import hmac
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import msgspec

from vapi_sessions.core.json_text import MARK, decode, is_mark
from vapi_sessions.privacy import masking
from vapi_sessions.privacy.documents import (
    change_list,
    change_names,
    change_object,
    cut,
    join,
    looks_like_json,
    rewrite,
    rewrite_or_stub,
    rewrite_text,
)
from vapi_sessions.privacy.fields import ANY, KEPT, Class, Place, members
from vapi_sessions.privacy.identity import KnownValues, normalised, region_of
from vapi_sessions.privacy.redaction_text import REDACTED

#: Part of every content hash: raise it when a rule changes, and what is stored is treated again.
POLICY_VERSION: Final = 2


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


@dataclass(frozen=True, slots=True)
class Policy:
    """The two levels, and what they need. Falsy if everything is kept."""

    personal: PersonalData = PersonalData.KEEP
    text: MessageText = MessageText.KEEP
    key: bytes | None = field(default=None, repr=False)
    #: ISO 3166, of telephone numbers that are written without a country.
    region: str | None = None

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
        return [self._body(body) for body in bodies]

    def apply(self, session: Any) -> Any:
        """One decoded session under this policy; the same object if there was nothing to do."""
        if type(session) is not dict:
            return _Walk(self, ()).free(session)
        return _Walk(self, _particulars(session.get("customer"))).session(session)

    def _body(self, body: bytes) -> bytes:
        """One body, member by member: most hold nothing of the session's own customer, and then there is less to do; those that
        describe an assistant come again in every session of it.
        """
        parts = cut(body)
        if parts is None or not parts.keys() <= members(_SESSION).keys():
            return rewrite_or_stub(body, self.apply)
        own = _Walk(self, _particulars(decode(parts.get("customer", b"null"))))
        others = _stranger(self, own.region)
        named = own.known.may_be_in(join({**parts, "customer": b"0"}))
        changed = {
            name: (
                own
                if name == "customer" or (named and (len(part) < _SMALL or own.known.may_be_in(part)))
                else others
            ).part(name, part)
            for name, part in parts.items()
        }
        return body if changed == parts else join(changed)

    def pseudonym(self, kind: str, value: str) -> str:
        """`psn_` and 32 hexadecimal digits, the same for the same value of a kind."""
        if _PSEUDONYM.fullmatch(value):
            return value
        message = f"{kind}\0{normalised(kind, value, self.region)}".encode("utf-8", "surrogatepass")
        return "psn_" + hmac.new(self.key or b"", message, hashlib.sha256).hexdigest()[:32]

    def replaced(self, kind: str, value: Any) -> Any:
        """A particular: a pseudonym, or null."""
        if self.personal is PersonalData.KEEP or value is None or type(value) is bool:
            return value
        if self.personal is PersonalData.DROP:
            return None
        if type(value) is list:
            return change_list(value, lambda item: self.replaced(kind, item))
        if type(value) is dict:
            return change_object(value, lambda _, member: self.replaced(kind, member))
        text = value if type(value) is str else _number_text(value)
        if not text.strip():
            return value
        clean = self.pseudonym(kind, text)
        return value if clean == value else clean


class _Walk:
    """A session, walked by the table of places; `particulars` is what its customer is known by."""

    def __init__(
        self, policy: Policy, particulars: Sequence[tuple[str, str]], region: str | None = None
    ) -> None:
        self._policy = policy
        self._personal = policy.personal is not PersonalData.KEEP
        self._gone = policy.personal is PersonalData.DROP
        self._masks = policy.text is MessageText.MASK
        self._silent = policy.text is MessageText.DROP
        numbers = (value for kind, value in particulars if kind == "number")
        self.region = policy.region or region or next(filter(None, map(region_of, numbers)), None)
        self.known = KnownValues(particulars, self.region)
        self._replaces = self._personal and bool(self.known)
        self._speaks = self._masks or self._silent
        self._by_class = _by_class(policy)

    def session(self, session: Any) -> Any:
        return self._object(session, _SESSION)

    def part(self, name: str, part: bytes) -> bytes:
        """A member of the session, as JSON."""
        place = members(_SESSION)[name]
        if (name in _GIVEN and part[0] not in b"[{") or (place.kept and part[0] not in b'[{"'):
            return part
        if name in _REPEATED and not self.known and len(part) <= _LONGEST_REPEATED:
            return _repeated(self, name, part)
        return rewrite(part, lambda value: self._value(value, place))

    # -- what the table knows ------------------------------------------------------------------------------------

    def _object(self, value: Any, schemas: frozenset[str]) -> Any:
        """An object that the table describes."""
        known = members(schemas)
        other = known.get(ANY)
        changed = dict[str, Any]()
        strange = False
        for name, member in value.items():
            place = known.get(name)
            if place is None:
                if name == MARK and is_mark(member):
                    continue
                strange = True
                if other is None:
                    clean = self._undeclared(name, member, customer=_CUSTOMER in schemas)
                else:
                    clean = self._value(member, other)
            elif place.kept and (
                type(member) in _PLAIN or (type(member) is str and place.text and not self._replaces)
            ):
                continue
            elif type(member) is str and place.said and self._speaks:
                clean = self._text(member)
            elif member is None or (schemas is _SESSION and name in _GIVEN and type(member) is str):
                continue
            else:
                clean = self._value(member, place)
            if clean is not member:
                changed[name] = clean
        clean = {**value, **changed} if changed else value
        return self._renamed(clean) if strange else clean

    def _list(self, items: list[Any], place: Place) -> Any:
        clean = [
            self._object(item, place.leads_to) if type(item) is dict else self._value(item, place)
            for item in items
        ]
        return clean if any(map(operator.is_not, clean, items)) else items

    def _value(self, value: Any, place: Place) -> Any:
        if place.leads_to:
            if type(value) is dict:
                return self._object(value, place.leads_to)
            if type(value) is list:
                return self._list(value, place)
        return self._by_class[place.place](self, value, place)

    def _kept(self, value: Any, place: Place) -> Any:
        """What stays, if it is what the table says: a text where a number belongs, or an object, is anybody's."""
        if type(value) is str:
            if not place.text and not _NUMERIC.fullmatch(value):
                return self.free(value)
            return self._without_known(value)
        if type(value) is list:
            return change_list(value, lambda item: self._kept(item, place))
        return self.free(value) if type(value) is dict else value

    def _particular(self, value: Any, place: Place) -> Any:
        if place.kind == "customerId":  # a pseudonym already
            return None if self._gone else value
        return self._policy.replaced(place.kind, value)

    def _prompt(self, value: Any, _: Place) -> Any:
        """What the organisation wrote, with the customer's particulars put in."""
        return _leaves(value, self._without_known)

    def _counted(self, value: Any, _: Place) -> Any:
        return _leaves(value, masking.drop)

    # -- what was said -------------------------------------------------------------------------------------------

    def _said(self, value: Any, place: Place) -> Any:
        """What was said, in `mask` or `drop`: every leaf, but for the type of a part of a message."""
        if place.place is Class.SPOKEN and type(value) is list:
            return change_list(
                value, lambda item: self._part(item) if type(item) is dict else self._spoken(item)
            )
        return self._spoken(value, measures=place.place is Class.EXTRACTED)

    def _part(self, value: Any) -> Any:
        """A part of a message: `{"type": "text", "text": …}`."""
        kind = value.get("type")
        clean = self._spoken(value)
        if type(kind) is not str or not _NAME.fullmatch(kind):
            return clean
        return change_object(clean, lambda name, member: kind if name == "type" else member)

    def _spoken(self, value: Any, *, name: str = "", measures: bool = False) -> Any:
        """`name`: under which it stands. `measures`: small numbers stay in `drop` too."""
        if type(value) is str:
            return self._text(value, name=name, measures=measures)
        if type(value) is list:
            return change_list(value, lambda item: self._spoken(item, name=name, measures=measures))
        if type(value) is dict:
            return self._renamed(
                change_object(
                    value,
                    lambda name, member: (
                        None if name in _MEDIA else self._spoken(member, name=name, measures=measures)
                    ),
                )
            )
        if value is None or type(value) is bool or (measures and _is_measure(value)):
            return value
        return None if self._silent else self._masked_number(value, name)

    def _text(self, text: str, *, name: str = "", measures: bool = False) -> str | None:
        """A text in `mask` or `drop`. Bytes of a recording or a picture are nothing that can be masked."""
        if text == REDACTED or (len(text) < _SHORTEST and not (self.known or self._silent)):
            return text
        if self._silent:
            return masking.drop(text)
        if looks_like_json(text):
            inner = rewrite_text(text, lambda value: self._spoken(value, measures=measures))
            if inner is not None:
                return inner
        return None if _BYTES.match(text) else self._masked(text, name)

    def _masked(self, text: str, name: str = "") -> str:
        clean = masking.mask(text, self.region, name=name)
        return self.known.replace(clean, _by_kind) if self.known else clean

    def _masked_number(self, value: Any, name: str) -> Any:
        if _is_measure(value):
            return value
        text = _number_text(value)
        clean = self._masked(text, name)
        return value if clean == text else clean

    # -- what nobody knows ---------------------------------------------------------------------------------------

    def _undeclared(self, name: str, value: Any, *, customer: bool = False) -> Any:
        """A member without a line in the table."""
        if self._personal and not self._gone:
            kind = _own_kind(name)
            if kind is not None or (customer and type(value) not in (dict, list)):
                return self._policy.replaced(kind or "other", value)
        return self.free(value, name)

    def free(self, value: Any, name: str = "") -> Any:
        """Whatever anybody put there, under `name`: personal, and said."""
        if value is None or type(value) is bool or value == REDACTED:
            return value
        if self._gone:
            return None
        if type(value) is str:
            return self._free_text(value, name)
        if type(value) is list:
            return change_list(value, lambda item: self.free(item, name))
        if type(value) is dict:
            return self._renamed(change_object(value, self._undeclared))
        if self._silent:
            return None
        return self._masked_number(value, name) if self._masks else value

    def _free_text(self, text: str, name: str) -> Any:
        if self._personal and looks_like_json(text):
            inner = rewrite_text(text, self.free)
            if inner is not None:
                text = inner
        clean = self._without_known(text)
        return self._text(clean, name=name) if self._speaks else clean

    def _renamed(self, value: Any) -> Any:
        """An object whose names are anybody's choice: what identifies is taken out of them; `drop` leaves those that look like one."""
        return change_names(value, self._name)

    def _name(self, name: str) -> str:
        if _NAME.fullmatch(name):
            return self._without_known(name) if self._replaces else name
        if self._silent or self._gone:
            return masking.drop(name)
        clean = self._without_known(name)
        if self._masks:
            clean = self._masked(clean)
        return name if clean == name else clean

    def _without_known(self, text: str) -> str:
        return self.known.replace(text, self._instead) if self._replaces else text

    def _instead(self, kind: str, value: str) -> str:
        return _by_kind(kind, value) if self._gone else self._policy.pseudonym(kind, value)


_SESSION: Final = frozenset({"Session"})
_CUSTOMER: Final = "CreateCustomerDTO"
#: What says which session it is, and when.
_GIVEN: Final = frozenset({"id", "orgId", "createdAt", "updatedAt"})
#: Values that hold no text.
_PLAIN: Final = frozenset({int, bool, type(None), msgspec.Raw})
#: Members that describe an assistant, and how long one may be that is kept at hand, in bytes.
_REPEATED: Final = frozenset({"assistant", "assistantOverrides", "squad", "squadOverrides", "phoneNumber"})
_LONGEST_REPEATED: Final = 32_768
#: A part of fewer bytes is walked sooner than it is searched for the customer's particulars.
_SMALL: Final = 512


@lru_cache(maxsize=256)  # one a country: what is remembered of an assistant goes with it
def _stranger(policy: Policy, region: str | None) -> _Walk:
    """For what holds nothing of the session's customer."""
    return _Walk(policy, (), region)


@lru_cache(maxsize=256)
def _repeated(walk: _Walk, name: str, part: bytes) -> bytes:
    place = members(_SESSION)[name]
    return rewrite(part, lambda value: walk._value(value, place))


def _leaves(value: Any, change: Callable[[str], str]) -> Any:
    """Every text in it changed."""
    if type(value) is str:
        return change(value)
    if type(value) is list:
        return change_list(value, lambda item: _leaves(item, change))
    if type(value) is dict:
        return change_object(value, lambda _, member: _leaves(member, change))
    return value


#: A number that is written as a text.
_NUMERIC: Final = re.compile(r"-?\d{1,6}(?:\.\d{1,20})?")
#: A member's name as programs give them, and nothing that anybody said.
_NAME: Final = re.compile(
    r"[A-Za-z_$](?:[A-Za-z_$.-]|\d{1,3}(?!\d)){0,63}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
#: Parts of messages that are no text.
_MEDIA: Final = frozenset({
    "audio", "file", "file_data", "image", "image_url", "input_audio", "input_file", "input_image", "input_video", "video", "video_url",
})  # fmt: skip
_BYTES: Final = re.compile(r"\s*(?:data:[\w.+-]*/?[\w.+-]*[;,]|[A-Za-z0-9+/_-]{256,}={0,2}\s*\Z)")
#: Nothing that identifies is shorter: a@b.io.
_SHORTEST: Final = 6
#: From here on a number may be somebody's.
_MEASURE: Final = 1_000_000


def _is_measure(value: Any) -> bool:
    """Whether a decoded number is a score, a count or an amount: telephone numbers and dates of birth have seven digits."""
    try:
        return abs(float(_number_text(value))) < _MEASURE
    except (ValueError, OverflowError):
        return False


@lru_cache(maxsize=8)
def _by_class(policy: Policy) -> dict[Class, Callable[[_Walk, Any, Place], Any]]:
    """What a policy does to each class: the table in `places`."""
    personal, speaks = policy.personal is not PersonalData.KEEP, policy.text is not MessageText.KEEP
    return {
        **dict.fromkeys(KEPT, _Walk._kept),
        Class.PERSONAL: _Walk._particular if personal else _same,
        Class.PROMPT: _Walk._said if speaks else _Walk._prompt if personal else _same,
        Class.SPOKEN: _Walk._said if speaks else _same,
        Class.EXTRACTED: _Walk._said if speaks else _same,
        Class.WORDS: _Walk._counted if speaks else _same,
        Class.RECORDING: _nothing if speaks else _same,
        Class.FREE: lambda walk, value, _: walk.free(value),
    }


def _same(_: _Walk, value: Any, place: Place) -> Any:
    return value


def _nothing(_: _Walk, value: Any, place: Place) -> None:
    return None


def _by_kind(kind: str, _: str) -> str:
    return f"[{kind}]"


def _number_text(value: Any) -> str:
    return bytes(value).decode() if isinstance(value, msgspec.Raw) else str(value)


def _own_kind(name: str) -> str | None:
    bare = re.sub("[-_. ]", "", name).lower()
    return next((kind for pattern, kind in _OWN_NAMES if pattern.fullmatch(bare)), None)


def _particulars(customer: Any) -> list[tuple[str, str]]:
    """Kind and value of what the session's own customer is known by."""
    found = [
        (kind, _number_text(value) if type(value) is int else value)
        for name, value in (customer.items() if type(customer) is dict else ())
        if (kind := PARTICULARS.get(name) or _own_kind(name)) is not None
    ]
    return [
        (kind, value)
        for kind, value in found
        if type(value) is str and value.strip() and not _PSEUDONYM.fullmatch(value)
    ]
