"""The walk over decoded JSON that takes credentials out of it: by names and places, and in every text. Pure.

What counts as a credential stands in `redact`. Copies only what changes, so that an untouched value is the same object.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec

from vapi_sessions.privacy.documents import (
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

_KINDS: Final = tuple(
    (re.compile(pattern + r"\Z", re.IGNORECASE | re.ASCII), kind)
    for pattern, kind in (
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

#: What a credential object may show, so that one can still tell which credential it was.
_CREDENTIAL_LABELS: Final = frozenset({"id", "orgId", "provider", "name", "type", "createdAt", "updatedAt"})


@lru_cache(maxsize=8192)
def _kind(name: str) -> int:
    """How to treat the value under a name."""
    return next((kind for pattern, kind in _KINDS if pattern.search(name)), _PLAIN)


# ---------------------------------------------------------------------------------------------------------------------
# The walk: copies only what changes, so that an untouched value is the same object.


def redact(value: Any) -> Any:
    """Decoded JSON without its secrets, at any depth; the same object if there was nothing to do."""
    kind = type(value)
    if kind is str:
        return redact_string(value)
    if kind is list:
        return change_list(value, redact)
    return _dictionary(value) if kind is dict else value


def _dictionary(members: dict[str, Any]) -> Any:
    """`_object(members, redact_member)`, with the usual cases in place: most of the walk's time is spent here."""
    copy: dict[str, Any] | None = None
    for name, value in members.items():
        kind = type(value)
        if kind in _BARE:
            if value is None or kind is bool or _kind(name) == _PLAIN:
                continue
            clean = redact_member(name, value)
        elif _kind(name) != _PLAIN:
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
    """An object with other values, and without keys that are secrets themselves."""
    clean = change_object(members, each)
    names = tuple(members)
    plain = _plain_names(names) if len(names) < _MANY else _no_secret(names)
    return clean if plain else change_names(clean, redact_string)


def _no_secret(names: tuple[str, ...]) -> bool:
    return all(len(name) < _SHORTEST_KEY or redact_string(name) is name for name in names)


#: Objects of the same kind have the same keys.
_plain_names: Final = lru_cache(maxsize=4096)(_no_secret)
_MANY: Final = 64
#: No shorter key is a secret by its shape.
_SHORTEST_KEY: Final = 12


def redact_member(name: str, value: Any) -> Any:
    """A member of an object without its secrets, by its name and by what it holds; the same object if there was nothing to do."""
    kind = _kind(name)
    if kind == _PLAIN:
        return redact(value)
    if kind == _ALL:
        return leaves(value)
    if kind == _CREDENTIAL:
        return _credentials(value)
    if kind == _HEADER:
        return _headers(name, value)
    if kind in (_PHRASE, _WORDS):
        return _unless_words(value, 2 if kind == _PHRASE else 1)
    if kind == _SCHEMA:
        return _object(value, _property) if type(value) is dict else redact(value)
    if kind == _PRESIGNED:
        return clean_signed_url(value) if type(value) is str else redact(value)
    if type(value) is list:
        return change_list(value, _named_value if kind == _VALUES else _variable)
    return leaves(value) if kind == _ENVIRONMENT else redact(value)


def leaves(value: Any) -> Any:
    """Every leaf redacted, the structure kept."""
    kind = type(value)
    if kind is list:
        return change_list(value, leaves)
    if kind is dict:
        return _object(value, lambda _, member: leaves(member))
    if value is None or kind is bool:
        return value
    return value if value == REDACTED else REDACTED


def _headers(name: str, value: Any) -> Any:
    """Every leaf, but of a list of texts only those that have a colon or follow a secret's name: others are columns."""
    if (
        type(value) is not list
        or not all(type(item) is str for item in value)
        or name.lower().startswith("raw")
    ):
        return leaves(value)
    secret = [":" in item or "=" in item for item in value]
    secret[1:] = [look or _kind(before) != _PLAIN for look, before in zip(secret[1:], value, strict=False)]
    clean = [leaves(item) if look else redact_string(item) for item, look in zip(value, secret, strict=True)]
    return value if clean == value else clean


def _unless_words(value: Any, least: int) -> Any:
    """What stands under `pass`, `auth`, `cookie` or `tokens`: words and counts stay."""
    if type(value) is str:
        return redact_string(value) if says_words(value, least) else leaves(value)
    if type(value) is list:
        return change_list(value, lambda item: _unless_words(item, least))
    if type(value) is dict:
        return _object(value, lambda _, member: member if _is_number(member) else leaves(member))
    return leaves(value) if least > 1 and type(value) is int and value > _LARGEST_COUNT else value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float, msgspec.Raw)


#: `"pass": 3` counts tests, `"pass": 4711` is a number that somebody chose.
_LARGEST_COUNT: Final = 999

#: What a JSON schema says of a value without giving one.
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
    """A member of `properties`: a definition, if it is an object of a schema's type, else a value like any other."""
    if type(value) is dict and _kind(name) not in (_PLAIN, _SCHEMA):
        kind = value.get("type")
        if type(kind) is str and kind in _TYPES:
            return _definition(value)
    return redact_member(name, value)


def _definition(value: Any) -> Any:
    """The definition of a secret: no default, example or constant."""
    if type(value) is list:
        return change_list(value, _definition)
    return _object(value, _keyword) if type(value) is dict else leaves(value)


def _keyword(name: str, value: Any) -> Any:
    if name in _COMPOSING:
        return _definition(value)
    if _kind(name) == _SCHEMA:
        return _object(value, _property) if type(value) is dict else leaves(value)
    return redact(value) if name in _DESCRIBING and type(value) is not dict else leaves(value)


def _credentials(value: Any) -> Any:
    """`credentials`: every leaf but the labels."""
    if type(value) is list:
        return change_list(value, _credentials)
    if type(value) is dict:
        return _object(value, _credential_member)
    return leaves(value)


def _credential_member(name: str, value: Any) -> Any:
    if name in _CREDENTIAL_LABELS and type(value) is str:
        return redact_string(value)
    return leaves(value) if _kind(name) == _ALL else _credentials(value)


def _named_value(item: Any) -> Any:
    """An element of `parameters[]`: a name, and a `value` that may be a secret."""
    if type(item) is dict:
        return _object(
            item, lambda name, value: leaves(value) if name.lower() == "value" else redact_member(name, value)
        )
    return redact(item)


def _variable(item: Any) -> Any:
    """An element of `environmentVariables[]`: the same, or `NAME=value` as a text."""
    return _named_value(item) if type(item) in (dict, list) else leaves(item)


def redact_string(text: str) -> str:
    """A string without its secrets, JSON in it included; the same object if there are none."""
    if len(text) >= _SHORT:
        return _any_text(text)
    clean = _short_text(text)
    return text if clean == text else clean


def _any_text(text: str) -> str:
    """A string value: its URLs, and what is in it if it is JSON itself (re-encoded only if something was found)."""
    clean = clean_urls(text)
    inner = rewrite_text(clean, redact) if looks_like_json(clean) else None
    clean = clean_prose(clean) if inner is None else inner
    return text if clean == text else clean


#: Roles, ids of models, URLs of servers and the like come again in every session.
_SHORT: Final = 160
_short_text: Final = lru_cache(maxsize=8192)(_any_text)
