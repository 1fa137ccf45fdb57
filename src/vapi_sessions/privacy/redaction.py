"""Redacts credentials in sessions before anything is written: values become "[redacted]", member names stay.

The rules follow the vendor's contract and practice: the assistant, its overrides, squads, tools, hooks, model costs and telephone
numbers all embed credentials. Redacted are:

- values under a secret name (`apiKey`, `twilioAuthToken`, `server.secret` …); in an object or list there, every leaf;
- every leaf in `credentials` except provider, name, id and type; every value in `headers` and `sipHeaders`, but not a list
  of plain strings, which is the header row of a table;
- `value` in `environmentVariables[]` and in `parameters[]`, but not in `parameters` that is a JSON schema;
- in any string: secrets in URLs, names of secrets with their values, and values with the shape of a key (`redaction_text`);
- all of these inside strings that are JSON, such as a tool call's `arguments`;
- member names that are such strings;
- names and paths of the user's own (`Extra`).

Not redacted: personal data, which the policy handles; fields that only sound secret, such as `promptTokens`, `credentialId`,
`publicKey` and `promptCacheKey`; booleans and nulls; words and counts under `pass`, `auth`, `cookie` and `tokens`; the
description of a property named `password` in a JSON schema.

Most sessions contain no credential. `redact_page` finds the suspects with one regular expression over the whole page, outside of
Python's lock. The expression is built from the same patterns as the walk, and matches too much rather than too little.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from vapi_sessions.core.json_text import column
from vapi_sessions.privacy.json_edit import (
    change_list,
    change_object,
    join,
    looks_like_json,
    member,
    rewrite,
    rewrite_or_replace,
    rewrite_text,
    split,
)
from vapi_sessions.privacy.patterns import PARAMETER, PHRASE, VENDOR
from vapi_sessions.privacy.redaction_json import (
    COUNTED,
    CREDENTIALS,
    HEADERS,
    VARIABLES,
    leaves,
    redact,
    redact_member,
    redact_string,
)
from vapi_sessions.privacy.redaction_text import NAMED_SUSPECT, SHAPED_SUSPECT

#: Part of every content hash. Raise it when a rule changes: stored sessions are then redacted again.
REDACTOR_VERSION: Final[int] = 4

# ---------------------------------------------------------------------------------------------------------------------
# The user's own names and paths.

_Path = tuple[str, ...]
_ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class Extra:
    """The user's own names and paths, whose values are redacted too.

    Names match in any spelling, at any depth, and inside JSON strings. Paths start at the session: `metadata.card.number` or
    `messages.metadata.*`, where `*` is any name. Arrays are transparent: `messages[*].content` equals `messages.content`.
    """

    names: frozenset[str] = frozenset()
    paths: tuple[_Path, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str], paths: Iterable[str]) -> Extra:
        """Parses the user's input. Raises ValueError for an invalid path."""
        return cls(
            frozenset(_bare(_LONE_SURROGATE.sub("\ufffd", name)) for name in names),
            tuple(sorted({_parsed(_LONE_SURROGATE.sub("\ufffd", path)) for path in paths})),
        )

    def __bool__(self) -> bool:
        return bool(self.names or self.paths)

    @property
    def suspect(self) -> str:
        """An expression that matches every body in which a name or path occurs."""
        return _suspect(self)

    def redact(self, value: Any) -> Any:
        """Decoded JSON with the values of these names and paths redacted."""
        return self._walk(value, self.paths)

    def _walk(self, value: Any, paths: tuple[_Path, ...]) -> Any:
        kind = type(value)
        if kind is list:
            return change_list(value, lambda item: self._walk(item, paths))
        if kind is str:
            inner = rewrite_text(value, self._inside) if self.names and looks_like_json(value) else None
            return value if inner is None else inner
        if kind is not dict:
            return value
        return change_object(value, lambda name, member: self._member(name, member, paths))

    def _member(self, name: str, value: Any, paths: tuple[_Path, ...]) -> Any:
        below = tuple(path[1:] for path in paths if path[0] in (name, _ANY))
        if () in below or (self.names and _bare(name) in self.names):
            return leaves(value)
        return self._walk(value, below)

    def _inside(self, value: Any) -> Any:
        return self._walk(value, ())


#: `json_text` replaces it by U+FFFD in every body.
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
#: Ignored anywhere in a name.
_SEPARATOR: Final = "[-_. ]"
_SEPARATORS: Final = f"{_SEPARATOR}*"
#: The only letter whose lower case has two characters, and these two.
_DOTTED_I: Final = "\u0130"
_DOTTED: Final = _DOTTED_I.lower()
_LETTER: Final = re.compile(f"{_DOTTED}|.", re.DOTALL)


def _as_json(letter: str) -> str:
    """An expression for a letter of a name in JSON, or in JSON inside a string. The scan matches `\\u00…` anyway."""
    if letter == _DOTTED:
        return f"(?:i{_SEPARATORS}{_as_json(letter[1])}|{_as_json(_DOTTED_I)})"
    if letter.isascii():
        return rf"(?:{re.escape(letter)}|\\+.)" if letter in '"/\\\b\f\n\r\t' else re.escape(letter)
    escapes = r"\\+u[0-9a-f]{4}" * (2 if letter > "\uffff" else 1)
    return f"(?:{letter}|{escapes})"


@lru_cache(maxsize=8)  # used for every page
def _suspect(extra: Extra) -> str:
    last = [next((name for name in reversed(path) if name != _ANY), None) for path in extra.paths]
    if None in last:
        return ""
    quoted = ["".join(map(_as_json, name)) for name in last if name is not None]
    if extra.names:
        names = (_SEPARATORS.join(map(_as_json, _LETTER.findall(name))) for name in sorted(extra.names))
        quoted.append(f"{_SEPARATORS}(?:{'|'.join(names)}){_SEPARATORS}")
    # Any escaped ASCII character is suspect; so is the Kelvin sign, whose lower case is k.
    scan = rf"(?i)\"(?:{'|'.join(quoted)})\\*\"|\\u(?:00[0-7]|212a)"
    try:
        pc.match_substring_regex(pa.array([""]), scan)
    except pa.ArrowInvalid:  # too large, with thousands of names: every body is suspect then
        return ""
    return scan


def _bare(name: str) -> str:
    bare = re.sub(_SEPARATOR, "", name).lower()
    return bare or name.lower()


def _parsed(path: str) -> _Path:
    plain = re.sub(r"\[(?:\*|\d*)\]", "", path.strip()).removeprefix("$").removeprefix(".")
    names = tuple(plain.split("."))
    if not all(names) or any(set(name) & set("[]'\"$") for name in names):
        raise ValueError(f"'{path}' is not a path such as metadata.card.number or messages[*].content")
    return names


# ---------------------------------------------------------------------------------------------------------------------
# Pages.

#: White space in JSON, and in JSON inside a string.
_SPACE: Final = r"(?:\s|\\+[nrt])*"
#: Matches every text that the walk would change: the same patterns, before a quote that may be escaped, or before "=".
#: Escaped ASCII (`"api\u004bey"`) is so rare that all of it is suspect.
_SUSPECT: Final = (
    rf"(?i)(?:\"(?:{PHRASE}|{COUNTED})|{CREDENTIALS}|{HEADERS}|{VARIABLES}|signed[^\"]*url)\\*\""
    rf"|\"parameters\\*\"{_SPACE}:{_SPACE}\["
    r"|\\u00[0-7]"
    r"|:(?:\\*/){2}[^\s\"]*@|sips?:[^\s:@\"/?]+:[^\s@\"?]+@"
    rf"|(?:[?&#;](?:{PARAMETER}|code)|{VENDOR})="
    rf"|%3(?:a%2f%2f|d)|{NAMED_SUSPECT}"
)


def redact_page(bodies: Sequence[bytes], extra: Extra | None = None) -> list[bytes]:
    """The redacted JSON of each session. Bodies that the scan does not suspect are returned as the same objects.

    A suspect body that is not JSON is replaced, because it cannot be examined.
    """
    clean = list(bodies)
    suspects = [number for number, suspect in enumerate(_suspects(bodies, _SCAN)) if suspect]
    for number, body in zip(suspects, _rewritten([bodies[number] for number in suspects]), strict=True):
        clean[number] = body
    if extra:
        found = _suspects(clean, extra.suspect)
        return [
            rewrite_or_replace(body, extra.redact) if suspect else body
            for body, suspect in zip(clean, found, strict=True)
        ]
    return clean


#: One expression for both, so that each text is read once.
_SCAN: Final = f"(?:{_SUSPECT})|(?:{SHAPED_SUSPECT})"


def _suspects(texts: Sequence[bytes], scan: str) -> list[bool]:
    if not texts:
        return []
    try:
        text = column(texts)
    except UnicodeDecodeError:
        return [True] * len(texts)
    found: list[bool] = pc.match_substring_regex(text, scan).to_pylist()
    return found


def _rewritten(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """Suspect bodies, redacted. Usually only one member is suspect, and is equal in all sessions of an assistant."""
    parts = [split(body) for body in bodies]
    texts = [member(name, value) for part in parts if part for name, value in part.items()]
    found = iter(_suspects(texts, _SCAN))
    for body, part in zip(bodies, parts, strict=True):
        if part is None:
            yield rewrite_or_replace(body, redact)
            continue
        members = [(name, value) for (name, value), suspect in zip(part.items(), found) if suspect]  # noqa: B905  # `found` has the results of all parts
        if not all(redact_string(name) is name for name, _ in members):
            yield rewrite_or_replace(body, redact)
            continue
        changed = {
            name: (_redact_cached if len(value) < _LONGEST_CACHED else _redact_part)(name, value)
            for name, value in members
        }
        yield body if all(changed[name] == value for name, value in members) else join(part | changed)


def _redact_part(name: str, value: bytes) -> bytes:
    return rewrite(value, lambda decoded: redact_member(name, decoded))


_redact_cached: Final = lru_cache(maxsize=256)(_redact_part)
_LONGEST_CACHED: Final = 32_768  # bytes


def content_hash(body: bytes, rules: str = "") -> str:
    """32 hexadecimal digits for a body. They also depend on the redactor's version and on `rules` (`sanitizer.hash_part`)."""
    return hashlib.blake2b(body, digest_size=16, person=_rules(f"{REDACTOR_VERSION}{rules}")).hexdigest()


@lru_cache(maxsize=8)
def _rules(which: str) -> bytes:
    return hashlib.blake2b(which.encode(), digest_size=16).digest()
