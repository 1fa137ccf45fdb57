"""Takes credentials out of sessions before anything is written: values become "[redacted]", keys stay.

What counts as a credential follows the vendor's contract and what was seen in practice (the assistant, its overrides,
squads, tools, hooks, model costs and telephone numbers all embed some):

- a value under a secret name (`apiKey`, `twilioAuthToken`, `server.secret` …), a container under one leaf by leaf;
- every leaf in `credentials` but its provider, name, id and type; every value in `headers` and `sipHeaders`;
- `value` in `environmentVariables[]` and in `parameters[]` (`parameters` that is a JSON schema is left alone);
- in any text: user info and token-like parameters of URLs, the whole query of a pre-signed one;
- all of that again inside strings that are JSON themselves (a tool call's `arguments`).

Personal data is not a credential and stays. So do the fields that only sound like one: `promptTokens`, `maxTokens`,
`credentialId`, `publicKey`, `promptCacheKey`, `dictionaryId`, `encryptedContent`. Booleans and nulls hold no secret.

Most sessions hold nothing of this. `redact_page` finds the others with one regular expression over the whole page,
outside Python's lock. It is derived from the same words as the walk, and errs on the side of looking closer.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NoReturn
from urllib.parse import quote, unquote

import msgspec
import polars as pl

#: Part of every content hash: raise it when a rule changes, and sessions are stored again as they pass by.
REDACTOR_VERSION: Final[int] = 1

REDACTED: Final = "[redacted]"

# ---------------------------------------------------------------------------------------------------------------------
# The words. A blank stands for "nothing, or one of - _ . and blank": `api key` is apiKey, api_key, API-Key, apikey.

#: Secret where a name ends in one of these, in the singular or the plural.
_SECRET_ENDINGS: Final = (
    "api key", "api secret", "api token", "auth token", "access token", "refresh token", "id token", "session token",
    "security token", "bearer token", "sas token", "account sid", "open ai key", "subscription key", "access key",
    "access key id", "secret", "secret key", "gcp key", "private key", "private key id", "signing key",
    "encryption key", "account key", "service account key", "password", "passwd", "pass phrase", "auth username",
    "webhook url", "connection string",
)  # fmt: skip
#: Secret as a whole name only: `promptTokens` and `tokenCount` are no secrets.
_SECRET_NAMES: Final = (
    "token",
    "authorization",
    "proxy authorization",
    "cookie",
    "set cookie",
    "jwt",
    "hmac access key",
)
#: Query parameters that are secret as a whole name, beside everything above.
_PARAMETERS: Final = (
    *_SECRET_NAMES,
    "key",
    "auth",
    "sig",
    "signature",
    "pwd",
    "pass",
    "credential",
    "key pair id",
    "policy",
)


def _words(words: Iterable[str]) -> str:
    return "|".join(word.replace(" ", "[-_. ]?") for word in words)


_ENDING: Final = f"(?:{_words(_SECRET_ENDINGS)})s?"
_NAME: Final = f"(?:{_words(_SECRET_NAMES)})"
_VENDOR: Final = "x-(?:amz|goog)-[a-z0-9-]*"
_CREDENTIALS: Final = "credentials?"
_HEADERS: Final = "headers"
_VARIABLES: Final = "(?:environment|env)[-_. ]?(?:variables|vars)"

_PLAIN, _ALL, _CREDENTIAL, _VALUES, _ENVIRONMENT, _PRESIGNED = range(6)

_KINDS: Final = tuple(
    (re.compile(pattern + r"\Z", re.IGNORECASE | re.ASCII), kind)
    for pattern, kind in (
        (_ENDING, _ALL),
        (rf"\A{_NAME}", _ALL),
        (_CREDENTIALS, _CREDENTIAL),
        (_HEADERS, _ALL),
        (_VARIABLES, _ENVIRONMENT),
        (r"\Aparameters", _VALUES),
        (r"signed[^\"]*url", _PRESIGNED),
    )
)

#: What a credential object may show, so that one can still tell which credential it was.
_CREDENTIAL_LABELS: Final = frozenset({"id", "orgId", "provider", "name", "type", "createdAt", "updatedAt"})


@lru_cache(maxsize=8192)
def _kind(name: str) -> int:
    """How to treat the value under a name."""
    return next((kind for pattern, kind in _KINDS if pattern.search(name)), _PLAIN)


# ---------------------------------------------------------------------------------------------------------------------
# Text: a URL ends at white space, quotes, angle brackets and backslashes, which also keeps JSON in a string intact.

_END: Final = r"\s\"'<>\\"
_USER_INFO: Final = re.compile(rf"://[^/?#{_END}]*@")
_SIP_PASSWORD: Final = re.compile(rf"(\bsips?:[^:@/?{_END}]+:)[^@/?{_END}]+@", re.IGNORECASE)
_SIGNED_QUERY: Final = re.compile(
    rf"\?(?:[^?{_END}]*[&;])?(?:x-(?:amz|goog)-)?sig(?:nature)?=[^?{_END}]*", re.IGNORECASE
)
_PARAMETER: Final = re.compile(
    rf"([?&#;](?:{_words(_PARAMETERS)}|[\w.\-%\[\]]*{_ENDING}|{_VENDOR})=)[^?&#;{_END}]+",
    re.IGNORECASE | re.ASCII,
)
#: An OAuth redirect carries `code` and `state`; a `code` alone is as likely a voucher.
_OAUTH_CODE: Final = re.compile(rf"([?&#;]code=)[^?&#;{_END}]+")
_OAUTH_STATE: Final = re.compile("[?&#;]state=")
#: Tried only where a run of such characters begins: long texts without blanks (base64) would cost the square.
_ENCODED_URL: Final = re.compile(rf"(?<![^=&#;?{_END}])[^=&#;?{_END}]*%3a%2f%2f[^&#;?{_END}]*", re.IGNORECASE)


def redact_text(text: str) -> str:
    """A text without the secrets of the URLs in it; the same object if there are none. Good for log lines too."""
    clean = text
    if "@" in clean:
        clean = _USER_INFO.sub(f"://{REDACTED}@", clean)
        clean = _SIP_PASSWORD.sub(rf"\1{REDACTED}@", clean)
    if "=" in clean:
        clean = _SIGNED_QUERY.sub(f"?{REDACTED}", clean)
        clean = _PARAMETER.sub(rf"\1{REDACTED}", clean)
        if _OAUTH_STATE.search(clean):
            clean = _OAUTH_CODE.sub(rf"\1{REDACTED}", clean)
    if "%" in clean:
        clean = _ENCODED_URL.sub(_encoded_url, clean)
    return text if clean == text else clean


def _encoded_url(match: re.Match[str]) -> str:
    """A URL inside a URL's parameter, percent-encoded."""
    inner = unquote(match[0])
    clean = redact_text(inner)
    return match[0] if clean == inner else quote(clean, safe="")


# ---------------------------------------------------------------------------------------------------------------------
# The walk: copies only what changes, so that an untouched value is the same object.


def redact(value: Any) -> Any:
    """Decoded JSON without its secrets, at any depth; the same object if there was nothing to do."""
    kind = type(value)
    if kind is str:
        return _text(value)
    if kind is list:
        return _list(value, redact)
    if kind is dict or kind is _Members:
        return _object(value, _member)
    return value


def _member(name: str, value: Any) -> Any:
    kind = _kind(name)
    if kind == _PLAIN:
        return redact(value)
    if kind == _ALL:
        return _leaves(value)
    if kind == _CREDENTIAL:
        return _credentials(value)
    if kind == _PRESIGNED:
        return _presigned(value) if type(value) is str else redact(value)
    if type(value) is list:
        return _list(value, _named_value if kind == _VALUES else _variable)
    return _leaves(value) if kind == _ENVIRONMENT else redact(value)


def _leaves(value: Any) -> Any:
    """Every leaf redacted, the structure kept."""
    kind = type(value)
    if kind is list:
        return _list(value, _leaves)
    if kind is dict or kind is _Members:
        return _object(value, lambda _, member: _leaves(member))
    if value is None or kind is bool:
        return value
    return value if value == REDACTED else REDACTED


def _credentials(value: Any) -> Any:
    """`credentials`: every leaf but the labels."""
    kind = type(value)
    if kind is list:
        return _list(value, _credentials)
    if kind is dict or kind is _Members:
        return _object(value, _credential_member)
    return _leaves(value)


def _credential_member(name: str, value: Any) -> Any:
    if name in _CREDENTIAL_LABELS and type(value) is str:
        return _text(value)
    return _leaves(value) if _kind(name) == _ALL else _credentials(value)


def _named_value(item: Any) -> Any:
    """An element of `parameters[]`: a name, and a `value` that may be a secret."""
    if type(item) is dict or type(item) is _Members:
        return _object(
            item, lambda name, value: _leaves(value) if name.lower() == "value" else _member(name, value)
        )
    return redact(item)


def _variable(item: Any) -> Any:
    """An element of `environmentVariables[]`: the same, or `NAME=value` as a text."""
    return _named_value(item) if type(item) in (dict, _Members, list) else _leaves(item)


def _presigned(url: str) -> str:
    clean = redact_text(url)
    start, mark, query = clean.partition("?")
    return clean if not mark or query == REDACTED else f"{start}?{REDACTED}"


def _text(text: str) -> str:
    """A string value: its URLs, and what is in it if it is JSON itself (re-encoded only if something was found)."""
    clean = redact_text(text)
    if clean.lstrip(" \t\r\n")[:1] in _OPENING and len(clean) > 2:
        try:
            body = clean.encode()
        except UnicodeEncodeError:  # a lone surrogate: JSON can still say it, escaped
            body = clean.encode("utf-8", "surrogatepass")
        try:
            redacted = _document(body)
        except RecursionError:
            return _UNREADABLE_TEXT
        except ValueError:
            return clean
        if redacted is not body:
            return redacted.decode()
    return clean


_OPENING: Final = frozenset('{["')
_UNREADABLE_TEXT: Final = '{"$unreadable":"nested too deeply"}'


def _list(items: list[Any], each: Callable[[Any], Any]) -> list[Any]:
    copy: list[Any] | None = None
    for index, item in enumerate(items):
        clean = each(item)
        if clean is not item:
            if copy is None:
                copy = items.copy()
            copy[index] = clean
    return items if copy is None else copy


def _object(members: Any, each: Callable[[str, Any], Any]) -> Any:
    if type(members) is _Members:
        pairs = [(name, each(name, value)) for name, value in members]
        same = all(new[1] is old[1] for new, old in zip(pairs, members, strict=True))
        return members if same else _Members(pairs)
    copy: dict[str, Any] | None = None
    for name, value in members.items():
        clean = each(name, value)
        if clean is not value:
            if copy is None:
                copy = members.copy()
            copy[name] = clean
    return members if copy is None else copy


# ---------------------------------------------------------------------------------------------------------------------
# Documents: what is not redacted comes out as it went in, down to the text of numbers and to repeated keys.


class _Members(list[tuple[str, Any]]):
    """A JSON object in which a key occurs twice."""


def _number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text)


def _members(pairs: list[tuple[str, Any]]) -> Any:
    members = dict(pairs)
    return members if len(members) == len(pairs) else _Members(pairs)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode: Final = msgspec.json.Decoder(float_hook=_number).decode
_encode: Final = msgspec.json.Encoder().encode
_exact: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=_number, parse_int=_number, parse_constant=_constant, strict=False
).decode


def _document(body: bytes) -> bytes:
    """One JSON document redacted; the same object if nothing changed. ValueError: not JSON. RecursionError: too deep."""
    try:
        value = _decode(body)
        faithful = (
            _encode(value) == body
        )  # proves that decoding lost nothing: no repeated key, no odd number or escape
    except (ValueError, OverflowError):  # not JSON, or not for this decoder: a lone surrogate
        faithful = False
    if faithful:
        clean = redact(value)
        return body if clean is value else _encode(clean)
    value = _exact(body.decode("utf-8", "surrogatepass"))
    clean = redact(value)
    return body if clean is value else _write(clean).encode()


def _write(value: Any) -> str:
    """Compact JSON text; only what cannot be UTF-8 (lone surrogates) and what need not be is escaped."""
    if isinstance(value, _Members):
        return "{" + ",".join(f"{_write(name)}:{_write(member)}" for name, member in value) + "}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_write(name)}:{_write(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or _is_utf8(text) else json.dumps(value)


def _is_utf8(text: str) -> bool:
    return not _SURROGATE.search(text)


_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # Python's str holds them only if they are alone


# ---------------------------------------------------------------------------------------------------------------------
# Pages.

#: White space in JSON, and in JSON within a string; an escaped slash likewise.
_SPACE: Final = r"(?:\s|\\+[nrt])*"
#: Every text that the walk would change matches this: the same words, before a quote that may be escaped, or before "=".
#: A key or URL with an escaped ASCII character (`"api\u004bey"`) is not worth a cleverer rule.
_SUSPECT: Final = (
    rf"(?i)(?:{_ENDING}|\"{_NAME}|{_CREDENTIALS}|{_HEADERS}|{_VARIABLES}|signed[^\"]*url)\\*\""
    rf"|\"parameters\\*\"{_SPACE}:{_SPACE}\["
    r"|\\u00[0-7]"
    r"|:(?:\\*/){2}[^\s\"/?#]*@|sips?:[^\s:@\"/?]+:[^\s@\"/?]+@"
    rf"|(?:[?&#;](?:{_words(_PARAMETERS)}|code)|{_ENDING}|{_VENDOR})="
    r"|%3a%2f%2f"
)


def redact_page(bodies: Sequence[bytes]) -> list[bytes]:
    """One redacted JSON document a session. A body in which a fast scan finds nothing is passed on, the same object.

    A suspect one that cannot be examined (nested too deeply, not JSON) is replaced by its id, organisation and times.
    """
    page = pl.Series(bodies, dtype=pl.Binary)
    try:
        texts = page.cast(pl.String)
    except pl.exceptions.ComputeError:  # not UTF-8, somewhere
        texts = pl.Series([_utf8_or_none(body) for body in bodies], dtype=pl.String)
    suspect = texts.str.contains(_SUSPECT).fill_null(True)
    return [_body(body) if look else body for body, look in zip(bodies, suspect, strict=True)]


def _utf8_or_none(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _body(body: bytes) -> bytes:
    try:
        return _document(body)
    except RecursionError:
        return _stub(body, "nested too deeply")
    except ValueError:
        return _stub(body, "not JSON")


_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]:]', re.DOTALL)
_PLAIN_VALUE: Final = re.compile(rb'"[\w:.+-]{1,64}"')


def _stub(body: bytes, why: str) -> bytes:
    """What can be said of a body without reading all of it: the four members that the warehouse cannot do without."""
    kept: dict[str, msgspec.Raw] = {}
    depth, name, colon = 0, b"", False
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
        elif depth == 1 and token == b":":
            colon = True
            continue
        elif depth == 1 and not colon:
            name = token
        elif (
            depth == 1
            and name[1:-1] in (b"id", b"orgId", b"createdAt", b"updatedAt")
            and _PLAIN_VALUE.fullmatch(token)
        ):
            kept[name[1:-1].decode()] = msgspec.Raw(token)
        colon = False
    return _encode({**kept, "$unreadable": why})


def content_hash(body: bytes) -> str:
    """32 hexadecimal digits for a redacted body; another version of the redactor gives another hash."""
    return hashlib.blake2b(body, digest_size=16, person=b"redactor%d" % REDACTOR_VERSION).hexdigest()
