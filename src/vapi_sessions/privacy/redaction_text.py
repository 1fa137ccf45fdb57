"""Redacts credentials in text: a prompt, a message, the result of a tool, JSON that does not parse.

It finds secrets in URLs, a secret name followed by a value (`api_key = …`, `"token": "…"`, `password is …`), and values with the shape
of a secret (`Bearer …`, JSON web tokens, keys with a vendor's prefix, private keys in PEM). In prose, a value must contain a
digit or be long: "the secret: be patient" is not one.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from vapi_sessions.privacy.patterns import (
    COOKIE,
    ENDING,
    EXACT_ENDING,
    NAME,
    PARAMETER,
    PHRASE,
    SHAPE_HINT,
    SHAPES,
    SMALL_HINTS,
    TAIL,
    VENDOR,
)

REDACTED: Final = "[redacted]"

# ---------------------------------------------------------------------------------------------------------------------
# A word may begin at the start of the text, after a character that is not part of a word, or directly after an escape of JSON, URLs
# or mail, which ends with a letter or digit (`\nghp_…`, `%3DAKIA…`, `\u0022sk-…`).

_START: Final = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrtbfv])|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\x[0-9A-Fa-f]{2})|(?<=%[0-9A-Fa-f]{2})|(?<==3[Dd]))"
#: The closing quote of a name, plain or escaped, and the bracket of `user[password]` or `config["password"]`.
_QUOTE: Final = r"(?:\\*[\"'`]|\\+u00(?:22|27)|\\+x2[27]|&(?:quot|apos|#3[49]);|%2[27])"
_CLOSED: Final = rf"{_QUOTE}?(?:\]|%5d)*{_QUOTE}?"
#: The same for the scan over JSON, in which `\\u00…` is suspect anywhere.
_CLOSED_SUSPECT: Final = r"(?:\\*[\"'`]|\\+x2[27]|&(?:quot|apos|#3[49]);|%2[27])?(?:\]|%5d)*(?:\\*[\"'`]|\\+x2[27]|&(?:quot|apos|#3[49]);|%2[27])?"

# ---------------------------------------------------------------------------------------------------------------------
# URLs end at white space, quotes, angle brackets and backslashes, so JSON in a string stays intact.
# Words match ASCII only (`(?a:…)`): otherwise Python would match letters such as ſ, ı and İ, which the scan of pages does not.

_END: Final = r"\s\"'<>\\"
_USER_INFO: Final = re.compile(rf"://[^/?#{_END}]*@")
#: A password may contain a slash. Digits after the host's colon are a port, except in URLs of databases.
_SLASHED: Final = re.compile(
    rf"(?P<scheme>\b(?a:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql|sqlserver|clickhouse|s?ftps?|smtps?)(?:\+\w+)?)?"
    rf"://(?!\[)[^/?#@:{_END}]*:(?:(?!\d{{0,5}}(?:[/?#{_END}]|\Z))|(?(scheme)|(?!)))[^{_END}]*@",
    re.IGNORECASE,
)
_SIP_PASSWORD: Final = re.compile(
    rf"({_START}(?a:sips?):[^:@/?{_END}]+:)(?!\d{{1,5}}[;?/])[^@?{_END}]+@", re.IGNORECASE
)
_SIGNED_QUERY: Final = re.compile(
    rf"\?(?:[^?{_END}]*[&;])?(?a:(?:x-(?:amz|goog)-)?sig(?:nature)?)=[^?{_END}]*", re.IGNORECASE
)
#: A value includes a separator unless another parameter begins after it.
_PARAMETER: Final = re.compile(
    rf"([?&#;](?:{PARAMETER}|[\w.\-%\[\]]*{EXACT_ENDING}|(?:[\w.\-%\[\]]*(?:\[|%5b))?(?:{NAME}|{PHRASE}|{COOKIE})|{VENDOR})(?:\]|%5d)*=)"
    rf"[^?&#;{_END}]+(?:[?&#;](?![\w.\-%\[\]]{{0,99}}=)[^?&#;{_END}]+)*",
    re.IGNORECASE | re.ASCII,
)
#: An OAuth redirect has `code` and `state`. A `code` alone may be a voucher.
_OAUTH_CODE: Final = re.compile(rf"([?&#;]code=)[^?&#;{_END}]+")
_OAUTH_STATE: Final = re.compile("[?&#;]state=")
#: Matches only at the start of a run of such characters. Otherwise long texts without blanks (Base64) would take quadratic time.
_ENCODED_URL: Final = re.compile(
    rf"(?<![^=&#;?{_END}])[^=&#;?{_END}]*%3(?:a%2f%2f|d)[^&#;?{_END}]*", re.IGNORECASE
)
#: Levels of URLs inside URLs. Each level reads the whole text again.
_NESTED: Final = 4
#: URLs whose path is the secret.
_WEBHOOK: Final = re.compile(
    rf"(\b(?a:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks|webhook\.office\.com/webhookb2)/)[^?#{_END}]+",
    re.IGNORECASE,
)


def clean_urls(text: str, depth: int = 0) -> str:
    """A text without the secrets in its URLs, and in URLs inside them; those nested more than `_NESTED` deep are redacted."""
    clean = text
    if "@" in clean:
        clean = _USER_INFO.sub(f"://{REDACTED}@", clean)
        clean = _SLASHED.sub(lambda match: f"{match['scheme'] or ''}://{REDACTED}@", clean)
        clean = _SIP_PASSWORD.sub(rf"\1{REDACTED}@", clean)
    if "=" in clean:
        clean = _SIGNED_QUERY.sub(f"?{REDACTED}", clean)
        clean = _PARAMETER.sub(rf"\1{REDACTED}", clean)
        if _OAUTH_STATE.search(clean):
            clean = _OAUTH_CODE.sub(rf"\1{REDACTED}", clean)
    if "%" in clean:
        clean = _ENCODED_URL.sub(lambda match: _encoded_url(match[0], depth), clean)
    if "/" in clean:
        clean = _WEBHOOK.sub(rf"\1{REDACTED}", clean)
    return clean


def _encoded_url(text: str, depth: int) -> str:
    """A percent-encoded URL, or parameters, inside a parameter of a URL."""
    if depth == _NESTED:
        return REDACTED
    inner = unquote(text)
    clean = clean_urls("?" + inner, depth + 1)[1:]
    return text if clean == inner else quote(clean, safe="")


def clean_signed_url(url: str) -> str:
    """A pre-signed URL without its query."""
    clean = clean_urls(url)
    start, separator, query = clean.partition("?")
    return clean if not separator or query == REDACTED else f"{start}?{REDACTED}"


# ---------------------------------------------------------------------------------------------------------------------
# Prose. Names and shapes are declared once (`patterns`), for the expressions here and for the scan of whole pages in `redaction`.

#: A run of characters that keys consist of. Shapes are searched only in these, to save time.
_RUN: Final = re.compile(r"[A-Za-z0-9_.~+/=%\\:-]{15,}")
_SHAPE: Final = re.compile(rf"{_START}(?:{'|'.join(SHAPES)})[\w.~+/=-]*", re.ASCII)
_SHAPE_HINT: Final = re.compile(SHAPE_HINT)
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
    r"|PuTTY-User-Key-File-.*",
    re.DOTALL,
)
#: A value without quotes: its characters, and characters that belong to it only if more follow. It ends before the next parameter
#: (`&user=`) and before the punctuation of a sentence.
_ANY: Final = r"[^\s\"'<>\\]"
_CORE: Final = r"[^\s\"'<>&,;(){}\[\]\\]"
_JOINT: Final = (
    r"(?:[(){}\[\]]|[&,;](?![\w.%\[\]-]{0,64}[=:])|'(?=[^\s\"'<>&,;(){}\[\]\\])|\\(?![\\nrtbfvux\"'/0]))"
)
#: A word that is not English: it contains a digit, or is long. A template variable (`{{key}}`) is not a value.
_KEY_LIKE: Final = rf"(?!(?:\[|%5b)redacted(?:\]|%5d)|\{{|\$\{{)(?={_JOINT}*+{_CORE})(?={_ANY}*?[\d=]|{_ANY}{{24}})(?={_ANY}{{6}}){_JOINT}*+{_CORE}++(?:{_JOINT}++{_CORE}++)*+"
_SCHEME: Final = re.compile(rf"({_START}(?:Bearer|Basic)[ \t]+){_KEY_LIKE}", re.IGNORECASE | re.ASCII)
_HEADER: Final = rf"{_CLOSED}[ \t]*[:=][ \t]*{_QUOTE}?"
_CREDENTIAL_PAIR: Final = r"[\w-]{1,64}=(?:\"[^\"\\]*\"|\\+\"[^\"\\]*\\+\"|[^\s,\"'\\]+)"
#: Any scheme, with one value or several named values.
_AUTHORIZATION: Final = re.compile(
    rf"({_START}(?:proxy[-_. ]?)?authorization{_HEADER}[A-Za-z][\w-]{{0,32}}[ \t]+)"
    rf"(?:{_CREDENTIAL_PAIR}(?:,[ \t]*{_CREDENTIAL_PAIR})*+|{_KEY_LIKE}|[\w.~+/=-]{{3,}}(?=[\"'`\\]))",
    re.IGNORECASE | re.ASCII,
)
_CRUMB: Final = r"[^\s=;,\"'\\<>]{1,128}=(?:\"[^\"\\]*\"|[^\s;\"'\\<>]*)"
#: All values in a `Cookie` header, and the attributes in `Set-Cookie`.
_COOKIES: Final = re.compile(
    rf"({_START}(?:{COOKIE}){_HEADER})(?!\[redacted\]){_CRUMB}"
    rf"(?:;[ \t]*(?:expires=[a-z]{{3}},[\w :-]{{1,40}}GMT|{_CRUMB}|httponly|secure|partitioned|(?=[\s\"'\\]|\Z)))*+",
    re.IGNORECASE | re.ASCII,
)
_EQUALS: Final = r"(?:=>|:=|[:=]|%3[ad]|\\+u003[ad])"
_IS: Final = rf"[ \t]*(?:{_EQUALS}|\bis\b:?)\s*"
_ASSIGNMENT: Final = re.compile(
    rf"((?:(?:{EXACT_ENDING}|{_START}{NAME}){_CLOSED}{_IS}"
    rf"|(?<![A-Za-z] ){_START}(?:(?P<phrase>{PHRASE})|(?P<cookie>{COOKIE})){_CLOSED}[ \t]*{_EQUALS}\s*))"
    r"(?:"
    r"(?P<open>[\"'`])(?P<quoted>(?:(?!(?P=open))[^\\]|\\.)++)"
    r"|(?P<escaped>(?P<run>\\+)(?P<quote>[\"']))(?P<inner>(?:[^\"'\\]|(?!(?P=quote))'|(?P=run)\\+[\"']|\\+(?![\\\"']))++)"
    r"|(?P<encoded>\\+u00(?:22|27)|\\+x2[27]|&(?:quot|apos|#3[49]);|%2[27])(?:(?!(?P=encoded))[^\"\r\n])++"
    rf"|{_KEY_LIKE})",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
#: Fast test, on lower-case text, before the slow expressions above: the ending of a name, and the sign of an assignment.
_NAMED: Final = re.compile(rf"{TAIL}{_CLOSED}\s*(?:[:=]|%3[ad]|\\+u003[ad]|is\b)", re.ASCII)


def _as_json(shape: str) -> str:
    """A shape as JSON may encode it: a slash may be `\\/` (PHP), with more backslashes in JSON inside JSON.

    No other character of a shape has a short escape, and `\\u002f` is suspect anywhere.
    """
    shape = re.sub(r"\[[^]]*/[^]]*\]", r"(?:\g<0>|\\\\+/)", shape)
    shape = shape.replace("1//0", r"1(?:\\*/){2}0")
    # Repetitions need states in RE2: end the shape after the start of its first long run, and leave out a run before its prefix.
    shape = re.sub(r"^\[[^]]*\]\{[0-9,]+\}(?:\[0-9\])?", "", shape)
    long = next((count for count in re.finditer(r"\{([0-9]+)", shape) if int(count[1]) > _COUNTED), None)
    return f"{shape[: long.start()]}{{{_COUNTED}}}" if long else shape


_COUNTED: Final = 6


#: Every text that `clean_prose` or the rule for webhooks changes matches one of these two expressions. RE2 has no lookaround.
_SPACE_SUSPECT: Final = r"(?:[ \t\r\n]|\\+[nrt])*"
NAMED_SUSPECT: Final = (
    rf"(?:{ENDING}|{NAME})(?:\\*\"|{_CLOSED_SUSPECT}{_SPACE_SUSPECT}(?:=|:|%3[ad]|is(?-i:[^A-Za-z])))"
    rf"|(?:{PHRASE}|{COOKIE}){_CLOSED_SUSPECT}{_SPACE_SUSPECT}(?:=|:|%3[ad])"
)
#: `_START` without lookbehind. Shapes that may begin anywhere would need a state for each letter of every word.
_START_SUSPECT: Final = (
    r"(?:^|[^A-Za-z0-9_-]|\\(?:[nrtbfv]|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})|%[0-9A-Fa-f]{2}|=3[Dd])"
)
_WITHOUT_PREFIX: Final = tuple(shape for shape in SHAPES if shape.startswith("["))
_WITH_PREFIX: Final = (
    "eyJ[A-Za-z0-9_-]{8}",
    *(shape for shape in SHAPES if not shape.startswith(("[", "eyJ"))),
)
SHAPED_SUSPECT: Final = "|".join(
    (
        r"(?i:(?:bearer|basic)(?:[ \t]|\\+t))",
        "PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-",
        r"(?i:hooks\.slack\.com|discord(?:app)?\.com|webhook\.office\.com)",
        *map(_as_json, _WITHOUT_PREFIX),
        f"{_START_SUSPECT}(?:{'|'.join(sorted(map(_as_json, _WITH_PREFIX)))})",
    )
)

_SHORTEST_ASSIGNMENT: Final = 5
_SHORTEST_SHAPE: Final = 15


def clean_prose(text: str) -> str:
    """A text without credentials, found by name or shape."""
    if len(text) < _SHORTEST_ASSIGNMENT:
        return text
    lower = text.lower()
    clean = text
    if _NAMED.search(lower):
        if "authorization" in lower:
            clean = _AUTHORIZATION.sub(rf"\1{REDACTED}", clean)
        if "cookie" in lower:
            clean = _COOKIES.sub(rf"\1{REDACTED}", clean)
        clean = _ASSIGNMENT.sub(_assigned, clean)
    if "bearer" in lower or "basic" in lower:
        clean = _SCHEME.sub(rf"\1{REDACTED}", clean)
    if "PRIVATE KEY" in clean or "PuTTY" in clean:
        clean = _PEM.sub(REDACTED, clean)
    if len(text) >= _SHORTEST_SHAPE and (
        _SHAPE_HINT.search(clean) or any([hint in clean for hint in SMALL_HINTS])  # noqa: C419  # a list is twice as fast
    ):
        clean = _RUN.sub(_shaped, clean)
    return clean


def _shaped(run: re.Match[str]) -> str:
    return _SHAPE.sub(REDACTED, run[0])


def _assigned(match: re.Match[str]) -> str:
    value = match["quoted"] or match["inner"]
    if value and (match["phrase"] or match["cookie"]) and says_words(value, 2 if match["phrase"] else 1):
        return match[0]
    return f"{match[1]}{match['open'] or match['escaped'] or match['encoded'] or ''}{REDACTED}"


def says_words(text: str, least: int) -> bool:
    """Whether a text consists of words only, at least `least`: "chocolate chip", not "sid=4711" or "xKq"."""
    found = text.split()
    return len(found) >= least and all(map(_is_word, found))


def _is_word(text: str) -> bool:
    bare = text.strip(".,!?:;()").replace("-", "").replace("'", "")
    return (
        bare.isalpha()
        and len(bare) <= _LONGEST_WORD
        and (bare[1:].islower() or bare.isupper() or len(bare) == 1)
    )


_LONGEST_WORD: Final = 20


def redact_text(text: str) -> str:
    """A text without secrets; the same object if it has none. Also used for log lines."""
    clean = clean_prose(clean_urls(text))
    return text if clean == text else clean
