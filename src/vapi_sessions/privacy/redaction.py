"""Takes credentials out of sessions before anything is written: values become "[redacted]", keys stay.

What counts as a credential follows the vendor's contract and what was seen in practice (the assistant, its overrides,
squads, tools, hooks, model costs and telephone numbers all embed some):

- a value under a secret name (`apiKey`, `twilioAuthToken`, `server.secret` …), a container under one leaf by leaf;
- every leaf in `credentials` but its provider, name, id and type; every value in `headers` and `sipHeaders` (a list of
  plain texts there is a table's columns);
- `value` in `environmentVariables[]` and in `parameters[]` (`parameters` that is a JSON schema is left alone);
- in any text: the secrets of URLs, names of secrets with their values, values of a telling shape (`redact_text`);
- all of that again inside strings that are JSON themselves (a tool call's `arguments`);
- a key that is such a text itself becomes "[redacted]";
- what the user adds by name or path (`Extra`).

Personal data is not a credential and is `policy`'s business. Left alone are the fields that only sound like a secret:
`promptTokens`, `maxTokens`, `credentialId`, `publicKey`, `promptCacheKey`, `dictionaryId`, `encryptedContent`. Booleans
and nulls hold no secret; under `pass`, `auth`, `cookie` and `tokens` neither do words and counts. A JSON schema's definition
of a property named `password` keeps what describes it.

Most sessions hold nothing of this. `redact_page` finds the others with one regular expression over the whole page,
outside Python's lock. It is derived from the same words as the walk, and errs on the side of looking closer.
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
from vapi_sessions.privacy.documents import (
    change_list,
    change_object,
    cut,
    join,
    looks_like_json,
    member,
    rewrite,
    rewrite_or_stub,
    rewrite_text,
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

#: Part of every content hash: raise it when a rule changes, and what is stored is redacted again.
REDACTOR_VERSION: Final[int] = 4

# ---------------------------------------------------------------------------------------------------------------------
# What the user adds.

PageRead = str
_ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class Extra:
    """Names (any spelling, any depth, inside JSON strings too) and paths from the session, whose values go as well.

    A path is `metadata.card.number` or `messages.metadata.*`: names joined by dots, `*` for any name. It passes through
    arrays, so `messages[*].content` and `$.messages.content` mean the same.
    """

    names: frozenset[str] = frozenset()
    paths: tuple[tuple[PageRead, ...], ...] = ()

    @classmethod
    def of(cls, names: Iterable[str], paths: Iterable[str]) -> Extra:
        """From what the user wrote. Raises ValueError for a path or name that matches nothing."""
        return cls(
            frozenset(_bare(_HALF.sub("\ufffd", name)) for name in names),
            tuple(sorted({_steps(_HALF.sub("\ufffd", path)) for path in paths})),
        )

    def __bool__(self) -> bool:
        return bool(self.names or self.paths)

    @property
    def suspect(self) -> str:
        """An expression that a body matches if anything here could apply to it."""
        return _suspect(self)

    def redact(self, value: Any) -> Any:
        """Decoded JSON without the values that are named here."""
        return self._walk(value, self.paths)

    def _walk(self, value: Any, paths: tuple[tuple[PageRead, ...], ...]) -> Any:
        kind = type(value)
        if kind is list:
            return change_list(value, lambda item: self._walk(item, paths))
        if kind is str:
            inner = rewrite_text(value, self._inside) if self.names and looks_like_json(value) else None
            return value if inner is None else inner
        if kind is not dict:
            return value
        return change_object(value, lambda name, member: self._member(name, member, paths))

    def _member(self, name: str, value: Any, paths: tuple[tuple[PageRead, ...], ...]) -> Any:
        below = tuple(path[1:] for path in paths if path[0] in (name, _ANY))
        if () in below or (self.names and _bare(name) in self.names):
            return leaves(value)
        return self._walk(value, below)

    def _inside(self, value: Any) -> Any:
        return self._walk(value, ())


#: Half a character, which stands as U+FFFD in every body.
_HALF: Final = re.compile("[\ud800-\udfff]")
#: What does not count in a name, wherever it stands.
_BLANK: Final = "[-_. ]"
_BLANKS: Final = f"{_BLANK}*"
#: The only letter that becomes two in lower case, and the two.
_DOTTED_I: Final = "\u0130"
_DOTTED: Final = _DOTTED_I.lower()
_LETTER: Final = re.compile(f"{_DOTTED}|.", re.DOTALL)


def _written(letter: str) -> str:
    """An expression for a letter of a name as JSON, or JSON within a string, may write it; `\\u00…` is looked for anyway."""
    if letter == _DOTTED:
        return f"(?:i{_BLANKS}{_written(letter[1])}|{_written(_DOTTED_I)})"
    if letter.isascii():
        return rf"(?:{re.escape(letter)}|\\+.)" if letter in '"/\\\b\f\n\r\t' else re.escape(letter)
    escapes = r"\\+u[0-9a-f]{4}" * (2 if letter > "\uffff" else 1)
    return f"(?:{letter}|{escapes})"


#: Asked for with every page.
@lru_cache(maxsize=8)
def _suspect(extra: Extra) -> str:
    last = [next((step for step in reversed(path) if step != _ANY), None) for path in extra.paths]
    if None in last:
        return ""
    quoted = ["".join(map(_written, step)) for step in last if step is not None]
    if extra.names:
        names = (_BLANKS.join(map(_written, _LETTER.findall(name))) for name in sorted(extra.names))
        quoted.append(f"{_BLANKS}(?:{'|'.join(names)}){_BLANKS}")
    # Escaped ASCII is not looked at closely; neither is the Kelvin sign, which is a k in lower case.
    scan = rf"(?i)\"(?:{'|'.join(quoted)})\\*\"|\\u(?:00[0-7]|212a)"
    try:
        pc.match_substring_regex(pa.array([""]), scan)
    except pa.ArrowInvalid:  # thousands of names: larger than an expression may be
        return ""
    return scan


def _bare(name: str) -> str:
    bare = re.sub(_BLANK, "", name).lower()
    return bare or name.lower()


def _steps(path: str) -> tuple[PageRead, ...]:
    plain = re.sub(r"\[(?:\*|\d*)\]", "", path.strip()).removeprefix("$").removeprefix(".")
    steps = tuple(plain.split("."))
    if not all(steps) or any(set(step) & set("[]'\"$") for step in steps):
        raise ValueError(f"'{path}' is no path such as metadata.card.number or messages[*].content")
    return steps


# ---------------------------------------------------------------------------------------------------------------------
# Pages.

#: White space in JSON, and in JSON within a string; an escaped slash likewise.
_SPACE: Final = r"(?:\s|\\+[nrt])*"
#: Every text that the walk would change matches this: the same words, before a quote that may be escaped, or before "=".
#: A key or URL with an escaped ASCII character (`"api\u004bey"`) is not worth a cleverer rule.
_SUSPECT: Final = (
    rf"(?i)(?:\"(?:{PHRASE}|{COUNTED})|{CREDENTIALS}|{HEADERS}|{VARIABLES}|signed[^\"]*url)\\*\""
    rf"|\"parameters\\*\"{_SPACE}:{_SPACE}\["
    r"|\\u00[0-7]"
    r"|:(?:\\*/){2}[^\s\"]*@|sips?:[^\s:@\"/?]+:[^\s@\"?]+@"
    rf"|(?:[?&#;](?:{PARAMETER}|code)|{VENDOR})="
    rf"|%3(?:a%2f%2f|d)|{NAMED_SUSPECT}"
)


def redact_page(bodies: Sequence[bytes], extra: Extra | None = None) -> list[bytes]:
    """One redacted JSON document a session. A body in which a fast scan finds nothing is passed on, the same object.

    A suspect one that is not JSON is replaced by a document that says so.
    """
    clean = list(bodies)
    suspects = [number for number, look in enumerate(_suspects(bodies, _SCAN)) if look]
    for number, body in zip(suspects, _rewritten([bodies[number] for number in suspects]), strict=True):
        clean[number] = body
    if extra:
        looks = _suspects(clean, extra.suspect)
        return [
            rewrite_or_stub(body, extra.redact) if look else body
            for body, look in zip(clean, looks, strict=True)
        ]
    return clean


#: One expression for both: a text is read once.
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
    """Suspect bodies. What is suspect is usually one member of many, and the same in every session of an assistant."""
    parts = [cut(body) for body in bodies]
    texts = [member(name, value) for part in parts if part for name, value in part.items()]
    looks = iter(_suspects(texts, _SCAN))
    for body, part in zip(bodies, parts, strict=True):
        if part is None:
            yield rewrite_or_stub(body, redact)
            continue
        members = [(name, value) for (name, value), look in zip(part.items(), looks) if look]  # noqa: B905  # goes on
        if not all(redact_string(name) is name for name, _ in members):
            yield rewrite_or_stub(body, redact)
            continue
        changed = {name: _suspect_member(name, value) for name, value in members}
        yield body if all(changed[name] == value for name, value in members) else join(part | changed)


def _suspect_member(name: str, value: bytes) -> bytes:
    return (
        _repeated(name, value) if len(value) < _REPEATED else rewrite(value, lambda v: redact_member(name, v))
    )


@lru_cache(maxsize=256)
def _repeated(name: str, value: bytes) -> bytes:
    return rewrite(value, lambda v: redact_member(name, v))


_REPEATED: Final = 32_768  # bytes


def content_hash(body: bytes, rules: str = "") -> str:
    """32 hexadecimal digits for a body; another version of the redactor, or another treatment, gives another hash."""
    return hashlib.blake2b(body, digest_size=16, person=_rules(f"{REDACTOR_VERSION}{rules}")).hexdigest()


@lru_cache(maxsize=8)
def _rules(which: str) -> bytes:
    return hashlib.blake2b(which.encode(), digest_size=16).digest()
