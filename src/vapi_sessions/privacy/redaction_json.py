"""Redacts credentials in decoded JSON, by member names and in every string. `redaction` lists the rules.

Only changed values are copied: an unchanged value is returned as the same object.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec

from vapi_sessions.privacy.json_edit import (
    change_list,
    change_names,
    change_object,
    looks_like_json,
    rewrite_text,
)
from vapi_sessions.privacy.patterns import COOKIE, EXACT_ENDING, NAME, PHRASE
from vapi_sessions.privacy.redaction_text import (
    REDACTED,
    clean_prose,
    clean_signed_url,
    clean_urls,
    says_words,
)

CREDENTIALS: Final = "(?:credentials?|creds)"
HEADERS: Final = "headers"
VARIABLES: Final = "(?:environment|env)[-_. ]?(?:variables|vars)"

COUNTED: Final = f"(?:{COOKIE}|tokens)"
_DEFINITIONS: Final = r"(?:properties|patternProperties|definitions|\$defs)"

_PLAIN, _ALL, _CREDENTIAL, _HEADER, _VALUES, _ENVIRONMENT, _PRESIGNED, _PHRASE, _WORDS, _SCHEMA = range(10)

#: Rules for values, by the member name.
_RULES: Final = tuple(
    (re.compile(pattern + r"\Z", re.IGNORECASE | re.ASCII), rule)
    for pattern, rule in (
        (rf"\A{PHRASE}", _PHRASE),
        (rf"\A{COUNTED}", _WORDS),
        (rf"(?:{EXACT_ENDING}|\A{NAME})", _ALL),
        (CREDENTIALS, _CREDENTIAL),
        (HEADERS, _HEADER),
        (VARIABLES, _ENVIRONMENT),
        (r"\Aparameters", _VALUES),
        (r"(?<!un)(?<!un[-_. ])(?<!\bas)(?<!\bde)(?<!\bre)signed[^\"]*url", _PRESIGNED),
        (rf"\A{_DEFINITIONS}", _SCHEMA),
    )
)

#: Members of a credential that stay, so that it can be identified.
_CREDENTIAL_LABELS: Final = frozenset({"id", "orgId", "provider", "name", "type", "createdAt", "updatedAt"})


@lru_cache(maxsize=8192)
def _rule(name: str) -> int:
    """The rule for values under a name."""
    return next((rule for pattern, rule in _RULES if pattern.search(name)), _PLAIN)


# ---------------------------------------------------------------------------------------------------------------------
# The walk.


def redact(value: Any) -> Any:
    """Decoded JSON without its secrets, at any depth; the same object if it has none."""
    kind = type(value)
    if kind is str:
        return redact_string(value)
    if kind is list:
        return change_list(value, redact)
    return _dictionary(value) if kind is dict else value


def _dictionary(members: dict[str, Any]) -> Any:
    """Equals `_object(members, redact_member)`, with the usual cases inlined: the walk spends most of its time here."""
    copy: dict[str, Any] | None = None
    for name, value in members.items():
        kind = type(value)
        if kind in _BARE:
            if value is None or kind is bool or _rule(name) == _PLAIN:
                continue
            clean = redact_member(name, value)
        elif _rule(name) != _PLAIN:
            clean = redact_member(name, value)
        elif kind is str:
            clean = _short_text(value) if len(value) < _SHORT else _any_text(value)
            if clean == value:
                continue
        elif kind is dict:
            clean = _dictionary(value)
        else:
            clean = redact(value)
        if clean is not value:
            if copy is None:
                copy = members.copy()
            copy[name] = clean
    names = tuple(members)
    plain = _plain_names(names) if len(names) < _MANY else _no_secret(names)
    clean = members if copy is None else copy
    return clean if plain else change_names(clean, redact_string)


_BARE: Final = frozenset({int, float, bool, type(None)})


def _object(members: dict[str, Any], each: Callable[[str, Any], Any]) -> Any:
    """An object with changed values, and without names that are secrets."""
    clean = change_object(members, each)
    names = tuple(members)
    plain = _plain_names(names) if len(names) < _MANY else _no_secret(names)
    return clean if plain else change_names(clean, redact_string)


def _no_secret(names: tuple[str, ...]) -> bool:
    return all(len(name) < _SHORTEST_KEY or redact_string(name) is name for name in names)


#: Cached, because many objects have the same member names.
_plain_names: Final = lru_cache(maxsize=4096)(_no_secret)
_MANY: Final = 64
#: A shorter name does not have the shape of a secret.
_SHORTEST_KEY: Final = 12


def redact_member(name: str, value: Any) -> Any:
    """The value of a member without its secrets, by its name and its content; the same object if it has none."""
    rule = _rule(name)
    if rule == _PLAIN:
        return redact(value)
    if rule == _ALL:
        return leaves(value)
    if rule == _CREDENTIAL:
        return _credentials(value)
    if rule == _HEADER:
        return _headers(name, value)
    if rule in (_PHRASE, _WORDS):
        return _unless_words(value, 2 if rule == _PHRASE else 1)
    if rule == _SCHEMA:
        return _object(value, _property) if type(value) is dict else redact(value)
    if rule == _PRESIGNED:
        return clean_signed_url(value) if type(value) is str else redact(value)
    if type(value) is list:
        return change_list(value, _named_value if rule == _VALUES else _variable)
    return leaves(value) if rule == _ENVIRONMENT else redact(value)


def leaves(value: Any) -> Any:
    """A value with every leaf redacted."""
    kind = type(value)
    if kind is list:
        return change_list(value, leaves)
    if kind is dict:
        return _object(value, lambda _, member: leaves(member))
    if value is None or kind is bool:
        return value
    return value if value == REDACTED else REDACTED


def _headers(name: str, value: Any) -> Any:
    """Redacts every leaf. In a list of strings, only those with a colon or after a secret name: others are a table's header row."""
    if (
        type(value) is not list
        or not all(type(item) is str for item in value)
        or name.lower().startswith("raw")
    ):
        return leaves(value)
    secret = [":" in item or "=" in item for item in value]
    secret[1:] = [
        by_sign or _rule(before) != _PLAIN for by_sign, before in zip(secret[1:], value, strict=False)
    ]
    clean = [
        leaves(item) if is_secret else redact_string(item)
        for item, is_secret in zip(value, secret, strict=True)
    ]
    return value if clean == value else clean


def _unless_words(value: Any, least: int) -> Any:
    """A value under `pass`, `auth`, `cookie` or `tokens`: words and counts stay."""
    if type(value) is str:
        return redact_string(value) if says_words(value, least) else leaves(value)
    if type(value) is list:
        return change_list(value, lambda item: _unless_words(item, least))
    if type(value) is dict:
        return _object(value, lambda _, member: member if _is_number(member) else leaves(member))
    return leaves(value) if least > 1 and type(value) is int and value > _LARGEST_COUNT else value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float, msgspec.Raw)


#: `"pass": 3` is a count of tests, `"pass": 4711` a password.
_LARGEST_COUNT: Final = 999

#: Keywords of JSON schemas that describe a value and contain none.
_DESCRIBING: Final = frozenset(
    {
        "type",
        "description",
        "title",
        "format",
        "minLength",
        "maxLength",
        "nullable",
        "readOnly",
        "writeOnly",
        "required",
        "$ref",
    }
)
_COMPOSING: Final = frozenset({"items", "anyOf", "oneOf", "allOf", "additionalProperties"})
_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})


def _property(name: str, value: Any) -> Any:
    """A member of `properties`: a definition if it is an object with a schema's `type`, else an ordinary member."""
    if type(value) is dict and _rule(name) not in (_PLAIN, _SCHEMA):
        kind = value.get("type")
        if type(kind) is str and kind in _TYPES:
            return _definition(value)
    return redact_member(name, value)


def _definition(value: Any) -> Any:
    """The definition of a secret property, without default, example and constant."""
    if type(value) is list:
        return change_list(value, _definition)
    return _object(value, _keyword) if type(value) is dict else leaves(value)


def _keyword(name: str, value: Any) -> Any:
    if name in _COMPOSING:
        return _definition(value)
    if _rule(name) == _SCHEMA:
        return _object(value, _property) if type(value) is dict else leaves(value)
    return redact(value) if name in _DESCRIBING and type(value) is not dict else leaves(value)


def _credentials(value: Any) -> Any:
    """`credentials`: every leaf except the labels."""
    if type(value) is list:
        return change_list(value, _credentials)
    if type(value) is dict:
        return _object(value, _credential_member)
    return leaves(value)


def _credential_member(name: str, value: Any) -> Any:
    if name in _CREDENTIAL_LABELS and type(value) is str:
        return redact_string(value)
    return leaves(value) if _rule(name) == _ALL else _credentials(value)


def _named_value(item: Any) -> Any:
    """An element of `parameters[]`, which has a name and a `value` that may be secret."""
    if type(item) is dict:
        return _object(
            item, lambda name, value: leaves(value) if name.lower() == "value" else redact_member(name, value)
        )
    return redact(item)


def _variable(item: Any) -> Any:
    """An element of `environmentVariables[]`: an object with a `value`, or the string `NAME=value`."""
    return _named_value(item) if type(item) in (dict, list) else leaves(item)


def redact_string(text: str) -> str:
    """A string without its secrets, also if it is JSON; the same object if it has none."""
    if len(text) >= _SHORT:
        return _any_text(text)
    clean = _short_text(text)
    return text if clean == text else clean


def _any_text(text: str) -> str:
    """A string without the secrets in its URLs and its text. JSON is decoded, and encoded again only if something changed."""
    clean = clean_urls(text)
    inner = rewrite_text(clean, redact) if looks_like_json(clean) else None
    clean = clean_prose(clean) if inner is None else inner
    return text if clean == text else clean


#: Cached up to this length: roles, ids of models and URLs of servers are the same in many sessions.
_SHORT: Final = 160
_short_text: Final = lru_cache(maxsize=8192)(_any_text)
