"""Applies the policy to sessions: walks decoded JSON by the table of fields (`fields`)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from vapi_sessions.core.json_text import MARK, decode, is_mark
from vapi_sessions.privacy import masking
from vapi_sessions.privacy.fields import ANY_NAME, HARMLESS, FieldClass, FieldRule, rules_of
from vapi_sessions.privacy.identity import region_of
from vapi_sessions.privacy.json_edit import (
    change_list,
    change_names,
    change_object,
    join,
    looks_like_json,
    number_text,
    rewrite,
    rewrite_or_replace,
    rewrite_text,
    split,
)
from vapi_sessions.privacy.known_values import KnownValues
from vapi_sessions.privacy.personal import kind_of, personal_values
from vapi_sessions.privacy.policy import MessageText, PersonalData, Policy
from vapi_sessions.privacy.redaction_text import REDACTED

_SESSION: Final = frozenset({"Session"})
_CUSTOMER: Final = "CreateCustomerDTO"
#: Members that say which session it is, and when it was created and changed.
_REQUIRED: Final = frozenset({"id", "orgId", "createdAt", "updatedAt"})
#: Members that describe an assistant. They are equal in many sessions, so their results are cached up to this size in bytes.
_REPEATED: Final = frozenset({"assistant", "assistantOverrides", "squad", "squadOverrides", "phoneNumber"})
_LONGEST_REPEATED: Final = 32_768
#: Below this size in bytes, walking a member is faster than searching it for the customer's values.
_SMALL: Final = 512

#: Types of decoded values that contain no text.
_NOT_TEXT: Final = frozenset({int, bool, type(None), msgspec.Raw})
#: A number written as a string.
_NUMERIC: Final = re.compile(r"-?\d{1,6}(?:\.\d{1,20})?")
#: A member name as programs choose it, which contains nothing that a person said.
_NAME: Final = re.compile(
    r"[A-Za-z_$](?:[A-Za-z_$.-]|\d{1,3}(?!\d)){0,63}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
#: Members of message parts that hold audio, images, video or files.
_MEDIA: Final = frozenset({
    "audio", "file", "file_data", "image", "image_url", "input_audio", "input_file", "input_image", "input_video", "video", "video_url",
})  # fmt: skip
_BASE64: Final = re.compile(r"\s*(?:data:[\w.+-]*/?[\w.+-]*[;,]|[A-Za-z0-9+/_-]{256,}={0,2}\s*\Z)")
#: Length of the shortest text that `mask` could change: a@b.io.
_SHORTEST: Final = 6
#: Smaller numbers are scores, counts or amounts. Telephone numbers and dates of birth have at least seven digits.
_MEASURE: Final = 1_000_000


def apply_to_page(policy: Policy, bodies: Sequence[bytes]) -> list[bytes]:
    """The bodies of a page under this policy; the same objects where nothing changes."""
    return [_apply(policy, body) for body in bodies] if policy else list(bodies)


def _apply(policy: Policy, body: bytes) -> bytes:
    """One body. Its members are handled one by one: most contain none of the customer's values and need less work."""
    parts = split(body)
    if parts is None or not parts.keys() <= rules_of(_SESSION).keys():
        return rewrite_or_replace(body, lambda value: _apply_to_value(policy, value))
    walk = _Walk(policy, personal_values(decode(parts.get("customer", b"null"))))
    walk_without_customer = _shared_walk(policy, walk.region)
    mentioned = walk.known.may_be_in(join({**parts, "customer": b"0"}))
    changed = {
        name: (
            walk
            if name == "customer" or (mentioned and (len(part) < _SMALL or walk.known.may_be_in(part)))
            else walk_without_customer
        ).part(name, part)
        for name, part in parts.items()
    }
    return body if changed == parts else join(changed)


def _apply_to_value(policy: Policy, value: Any) -> Any:
    if type(value) is not dict:
        return _Walk(policy, ()).free(value)
    return _Walk(policy, personal_values(value.get("customer"))).session(value)


class _Walk:
    """Walks one session. `personal`: kind and value of the customer's personal data."""

    def __init__(
        self, policy: Policy, personal: Sequence[tuple[str, str]], region: str | None = None
    ) -> None:
        self._policy = policy
        self._protects_personal = policy.personal is not PersonalData.KEEP
        self._drops_personal = policy.personal is PersonalData.DROP
        self._masks_text = policy.text is MessageText.MASK
        self._drops_text = policy.text is MessageText.DROP
        self._changes_text = self._masks_text or self._drops_text
        numbers = (value for kind, value in personal if kind == "number")
        self.region = policy.region or region or next(filter(None, map(region_of, numbers)), None)
        self.known = KnownValues(personal, self.region)
        self._replaces_known = self._protects_personal and bool(self.known)
        self._by_class = _actions(policy)

    def session(self, session: Any) -> Any:
        """A decoded session."""
        return self._object(session, _SESSION)

    def part(self, name: str, part: bytes) -> bytes:
        """A member of the session, as JSON text."""
        rule = rules_of(_SESSION)[name]
        if (name in _REQUIRED and part[0] not in b"[{") or (rule.harmless and part[0] not in b'[{"'):
            return part
        if name in _REPEATED and not self.known and len(part) <= _LONGEST_REPEATED:
            return _repeated(self, name, part)
        return self.rewritten(name, part)

    def rewritten(self, name: str, part: bytes) -> bytes:
        """The same, without the shortcuts."""
        rule = rules_of(_SESSION)[name]
        return rewrite(part, lambda value: self._value(value, rule))

    # -- fields with a class -------------------------------------------------------------------------------------

    def _object(self, value: Any, schemas: frozenset[str]) -> Any:
        """An object that may have any of these schemas."""
        rules = rules_of(schemas)
        any_name = rules.get(ANY_NAME)
        changed = dict[str, Any]()
        has_unknown = False
        for name, member in value.items():
            rule = rules.get(name)
            if rule is None:
                if name == MARK and is_mark(member):
                    continue
                has_unknown = True
                if any_name is None:
                    clean = self._unknown(name, member, of_customer=_CUSTOMER in schemas)
                else:
                    clean = self._value(member, any_name)
            elif rule.harmless and (
                type(member) in _NOT_TEXT
                or (type(member) is str and rule.may_be_text and not self._replaces_known)
            ):
                continue
            elif type(member) is str and rule.is_text and self._changes_text:
                clean = self._change_text(member)
            elif member is None or (schemas is _SESSION and name in _REQUIRED and type(member) is str):
                continue
            else:
                clean = self._value(member, rule)
            if clean is not member:
                changed[name] = clean
        clean = {**value, **changed} if changed else value
        return self._clean_names(clean) if has_unknown else clean

    def _list(self, items: list[Any], rule: FieldRule) -> Any:
        clean = [
            self._object(item, rule.leads_to) if type(item) is dict else self._value(item, rule)
            for item in items
        ]
        return clean if any(map(operator.is_not, clean, items)) else items

    def _value(self, value: Any, rule: FieldRule) -> Any:
        if rule.leads_to:
            if type(value) is dict:
                return self._object(value, rule.leads_to)
            if type(value) is list:
                return self._list(value, rule)
        return self._by_class[rule.field_class](self, value, rule)

    def _harmless(self, value: Any, rule: FieldRule) -> Any:
        """Stays if it has the expected type. A text where a number belongs, or an object, may contain anything."""
        if type(value) is str:
            if not rule.may_be_text and not _NUMERIC.fullmatch(value):
                return self.free(value)
            return self._replace_known(value)
        if type(value) is list:
            return change_list(value, lambda item: self._harmless(item, rule))
        return self.free(value) if type(value) is dict else value

    def _personal(self, value: Any, rule: FieldRule) -> Any:
        if rule.kind == "customerId":  # a pseudonym already
            return None if self._drops_personal else value
        return self._policy.replace_personal(rule.kind, value)

    def _prompt(self, value: Any, _: FieldRule) -> Any:
        """Text of the organisation into which values of the customer may have been inserted."""
        return _change_strings(value, self._replace_known)

    def _words(self, value: Any, _: FieldRule) -> Any:
        return _change_strings(value, masking.drop)

    # -- text ----------------------------------------------------------------------------------------------------

    def _text(self, value: Any, rule: FieldRule) -> Any:
        """Text under `mask` or `drop`: every leaf, except the type of a message part."""
        if rule.field_class is FieldClass.SPOKEN and type(value) is list:
            return change_list(
                value,
                lambda item: self._message_part(item) if type(item) is dict else self._text_value(item),
            )
        return self._text_value(value, keep_measures=rule.field_class is FieldClass.EXTRACTED)

    def _message_part(self, value: Any) -> Any:
        """A part such as `{"type": "text", "text": …}`."""
        kind = value.get("type")
        clean = self._text_value(value)
        if type(kind) is not str or not _NAME.fullmatch(kind):
            return clean
        return change_object(clean, lambda name, member: kind if name == "type" else member)

    def _text_value(self, value: Any, *, name: str = "", keep_measures: bool = False) -> Any:
        """Any value that counts as text. `name`: of the member that holds it. `keep_measures`: `drop` keeps small numbers."""
        if type(value) is str:
            return self._change_text(value, name=name, keep_measures=keep_measures)
        if type(value) is list:
            return change_list(
                value, lambda item: self._text_value(item, name=name, keep_measures=keep_measures)
            )
        if type(value) is dict:
            return self._clean_names(
                change_object(
                    value,
                    lambda name, member: (
                        None
                        if name in _MEDIA
                        else self._text_value(member, name=name, keep_measures=keep_measures)
                    ),
                )
            )
        if value is None or type(value) is bool or (keep_measures and _is_measure(value)):
            return value
        return None if self._drops_text else self._mask_number(value, name)

    def _change_text(self, text: str, *, name: str = "", keep_measures: bool = False) -> str | None:
        """A string under `mask` or `drop`. Bytes of a recording or picture cannot be masked and become null."""
        if text == REDACTED or (len(text) < _SHORTEST and not (self.known or self._drops_text)):
            return text
        if self._drops_text:
            return masking.drop(text)
        if looks_like_json(text):
            inner = rewrite_text(text, lambda value: self._text_value(value, keep_measures=keep_measures))
            if inner is not None:
                return inner
        return None if _BASE64.match(text) else self._mask(text, name)

    def _mask(self, text: str, name: str = "") -> str:
        clean = masking.mask(text, self.region, name=name)
        return self.known.replace(clean, _show_kind) if self.known else clean

    def _mask_number(self, value: Any, name: str) -> Any:
        if _is_measure(value):
            return value
        text = number_text(value)
        clean = self._mask(text, name)
        return value if clean == text else clean

    # -- fields without a class ----------------------------------------------------------------------------------

    def _unknown(self, name: str, value: Any, *, of_customer: bool = False) -> Any:
        """A member without a line in the table."""
        if self._protects_personal and not self._drops_personal:
            kind = kind_of(name)
            if kind is not None or (of_customer and type(value) not in (dict, list)):
                return self._policy.replace_personal(kind or "other", value)
        return self.free(value, name)

    def free(self, value: Any, name: str = "") -> Any:
        """A value that may contain anything, so it counts as personal data and as text. `name`: of the member that holds it."""
        if value is None or type(value) is bool or value == REDACTED:
            return value
        if self._drops_personal:
            return None
        if type(value) is str:
            return self._free_text(value, name)
        if type(value) is list:
            return change_list(value, lambda item: self.free(item, name))
        if type(value) is dict:
            return self._clean_names(change_object(value, self._unknown))
        if self._drops_text:
            return None
        return self._mask_number(value, name) if self._masks_text else value

    def _free_text(self, text: str, name: str) -> Any:
        if self._protects_personal and looks_like_json(text):
            inner = rewrite_text(text, self.free)
            if inner is not None:
                text = inner
        clean = self._replace_known(text)
        return self._change_text(clean, name=name) if self._changes_text else clean

    def _clean_names(self, value: Any) -> Any:
        """An object whose member names users may choose: the names are cleaned. `drop` keeps those that look like a program's."""
        return change_names(value, self._clean_name)

    def _clean_name(self, name: str) -> str:
        if _NAME.fullmatch(name):
            return self._replace_known(name) if self._replaces_known else name
        if self._drops_text or self._drops_personal:
            return masking.drop(name)
        clean = self._replace_known(name)
        if self._masks_text:
            clean = self._mask(clean)
        return name if clean == name else clean

    def _replace_known(self, text: str) -> str:
        return self.known.replace(text, self._replacement) if self._replaces_known else text

    def _replacement(self, kind: str, value: str) -> str:
        return _show_kind(kind, value) if self._drops_personal else self._policy.pseudonym(kind, value)


@lru_cache(maxsize=256)  # one for each country; `_repeated` caches the assistants that it has walked
def _shared_walk(policy: Policy, region: str | None) -> _Walk:
    """For members that contain none of the customer's values."""
    return _Walk(policy, (), region)


@lru_cache(maxsize=256)
def _repeated(walk: _Walk, name: str, part: bytes) -> bytes:
    return walk.rewritten(name, part)


@lru_cache(maxsize=8)
def _actions(policy: Policy) -> dict[FieldClass, Callable[[_Walk, Any, FieldRule], Any]]:
    """The action of a policy on each class: the table in `fields`."""
    protects_personal = policy.personal is not PersonalData.KEEP
    changes_text = policy.text is not MessageText.KEEP
    return {
        **dict.fromkeys(HARMLESS, _Walk._harmless),
        FieldClass.PERSONAL: _Walk._personal if protects_personal else _keep,
        FieldClass.PROMPT: _Walk._text if changes_text else _Walk._prompt if protects_personal else _keep,
        FieldClass.SPOKEN: _Walk._text if changes_text else _keep,
        FieldClass.EXTRACTED: _Walk._text if changes_text else _keep,
        FieldClass.WORDS: _Walk._words if changes_text else _keep,
        FieldClass.RECORDING: _remove if changes_text else _keep,
        FieldClass.FREE: lambda walk, value, _: walk.free(value),
    }


def _keep(_: _Walk, value: Any, rule: FieldRule) -> Any:
    return value


def _remove(_: _Walk, value: Any, rule: FieldRule) -> None:
    return None


def _show_kind(kind: str, _: str) -> str:
    return f"[{kind}]"


def _change_strings(value: Any, change: Callable[[str], str]) -> Any:
    """A value with every string in it changed."""
    if type(value) is str:
        return change(value)
    if type(value) is list:
        return change_list(value, lambda item: _change_strings(item, change))
    if type(value) is dict:
        return change_object(value, lambda _, member: _change_strings(member, change))
    return value


def _is_measure(value: Any) -> bool:
    """Whether a decoded number is a score, a count or an amount."""
    try:
        return abs(float(number_text(value))) < _MEASURE
    except (ValueError, OverflowError):
        return False
