"""The words by which credentials are known, and what is done to text: URLs lose their secrets, prose its keys. Pure.

A text is anything that stands under a harmless name: a prompt, a message, a tool's result, JSON that does not parse.
Three things are looked for in it: secrets in URLs, a secret's name followed by a value (`api_key = …`, `"token": "…"`,
`password is …`), and values whose shape gives them away (`Bearer …`, JSON web tokens, the prefixes that vendors give their
keys, private keys in PEM). In running prose a value must hold a digit or be long: "the secret: be patient" is none.
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
# Where a word may begin: at the text's beginning, after what belongs to no word, or directly after an escape of JSON, URLs or
# mail, whose last character is a letter or digit (`\nghp_…`, `%3DAKIA…`, `\u0022sk-…`).

_START: Final = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrtbfv])|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\x[0-9A-Fa-f]{2})|(?<=%[0-9A-Fa-f]{2})|(?<==3[Dd]))"
#: A name's closing quote, as it is or escaped, and the bracket of `user[password]` or `config["password"]`.
_QUOTE: Final = r"(?:\\*[\"'`]|\\+u00(?:22|27)|\\+x2[27]|&(?:quot|apos|#3[49]);|%2[27])"
_CLOSED: Final = rf"{_QUOTE}?(?:\]|%5d)*{_QUOTE}?"
#: What may stand between a name and its value, as a scan over JSON sees it; `\\u00…` is suspect anywhere.
_CLOSED_SUSPECT: Final = r"(?:\\*[\"'`]|\\+x2[27]|&(?:quot|apos|#3[49]);|%2[27])?(?:\]|%5d)*(?:\\*[\"'`]|\\+x2[27]|&(?:quot|apos|#3[49]);|%2[27])?"

# ---------------------------------------------------------------------------------------------------------------------
# URLs: one ends at white space, quotes, angle brackets and backslashes, which also keeps JSON in a string intact.
# Words are ASCII (`(?a:…)`): in any other letter for theirs (ſ, ı, İ) Python sees them, and the scan over whole pages not.

_END: Final = r"\s\"'<>\\"
_USER_INFO: Final = re.compile(rf"://[^/?#{_END}]*@")
#: A password may hold a slash. What follows a host's colon is no password if it is a port, but for the schemes of databases.
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
#: A value goes on over a separator that no other parameter begins behind.
_PARAMETER: Final = re.compile(
    rf"([?&#;](?:{PARAMETER}|[\w.\-%\[\]]*{EXACT_ENDING}|(?:[\w.\-%\[\]]*(?:\[|%5b))?(?:{NAME}|{PHRASE}|{COOKIE})|{VENDOR})(?:\]|%5d)*=)"
    rf"[^?&#;{_END}]+(?:[?&#;](?![\w.\-%\[\]]{{0,99}}=)[^?&#;{_END}]+)*",
    re.IGNORECASE | re.ASCII,
)
#: An OAuth redirect carries `code` and `state`; a `code` alone is as likely a voucher.
_OAUTH_CODE: Final = re.compile(rf"([?&#;]code=)[^?&#;{_END}]+")
_OAUTH_STATE: Final = re.compile("[?&#;]state=")
#: Tried only where a run of such characters begins: long texts without blanks (base64) would cost the square.
_ENCODED_URL: Final = re.compile(
    rf"(?<![^=&#;?{_END}])[^=&#;?{_END}]*%3(?:a%2f%2f|d)[^&#;?{_END}]*", re.IGNORECASE
)
#: How often a URL is looked for in a URL in a URL: each time reads all of it.
_NESTED: Final = 4
#: Where the path itself is the secret.
_WEBHOOK: Final = re.compile(
    rf"(\b(?a:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks|webhook\.office\.com/webhookb2)/)[^?#{_END}]+",
    re.IGNORECASE,
)


def clean_urls(text: str, depth: int = 0) -> str:
    """A text without the secrets of the URLs in it, and in them, percent-encoded; what is nested deeper than that goes."""
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
    """A URL or parameters inside a URL's parameter, percent-encoded."""
    if depth == _NESTED:
        return REDACTED
    inner = unquote(text)
    clean = clean_urls("?" + inner, depth + 1)[1:]
    return text if clean == inner else quote(clean, safe="")


def clean_signed_url(url: str) -> str:
    """A pre-signed URL without its query."""
    clean = clean_urls(url)
    start, mark, query = clean.partition("?")
    return clean if not mark or query == REDACTED else f"{start}?{REDACTED}"


# ---------------------------------------------------------------------------------------------------------------------
# Prose. Names and shapes stand once, for Python's expressions here and for the scan over whole pages in `redact`.

#: A run of what keys are made of. Shapes are looked for in these only: no other text is worth the time.
_RUN: Final = re.compile(r"[A-Za-z0-9_.~+/=%\\:-]{15,}")
_SHAPE: Final = re.compile(rf"{_START}(?:{'|'.join(SHAPES)})[\w.~+/=-]*", re.ASCII)
_SHAPE_HINT: Final = re.compile(SHAPE_HINT)
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"
    r"|PuTTY-User-Key-File-.*",
    re.DOTALL,
)
#: Of a value without quotes: what it consists of, and what is a part of it only with more behind it. It ends before the next
#: parameter (`&user=`), and with a sentence's punctuation.
_ANY: Final = r"[^\s\"'<>\\]"
_CORE: Final = r"[^\s\"'<>&,;(){}\[\]\\]"
_JOINT: Final = (
    r"(?:[(){}\[\]]|[&,;](?![\w.%\[\]-]{0,64}[=:])|'(?=[^\s\"'<>&,;(){}\[\]\\])|\\(?![\\nrtbfvux\"'/0]))"
)
#: A word that is no English one: it holds a digit, or is long. A template's variable (`{{key}}`) is no value.
_ODD_WORD: Final = rf"(?!(?:\[|%5b)redacted(?:\]|%5d)|\{{|\$\{{)(?={_JOINT}*+{_CORE})(?={_ANY}*?[\d=]|{_ANY}{{24}})(?={_ANY}{{6}}){_JOINT}*+{_CORE}++(?:{_JOINT}++{_CORE}++)*+"
_SCHEME: Final = re.compile(rf"({_START}(?:Bearer|Basic)[ \t]+){_ODD_WORD}", re.IGNORECASE | re.ASCII)
_HEADER: Final = rf"{_CLOSED}[ \t]*[:=][ \t]*{_QUOTE}?"
_CREDENTIAL_PAIR: Final = r"[\w-]{1,64}=(?:\"[^\"\\]*\"|\\+\"[^\"\\]*\\+\"|[^\s,\"'\\]+)"
#: Any scheme, with one value or with several named ones.
_AUTHORIZATION: Final = re.compile(
    rf"({_START}(?:proxy[-_. ]?)?authorization{_HEADER}[A-Za-z][\w-]{{0,32}}[ \t]+)"
    rf"(?:{_CREDENTIAL_PAIR}(?:,[ \t]*{_CREDENTIAL_PAIR})*+|{_ODD_WORD}|[\w.~+/=-]{{3,}}(?=[\"'`\\]))",
    re.IGNORECASE | re.ASCII,
)
_CRUMB: Final = r"[^\s=;,\"'\\<>]{1,128}=(?:\"[^\"\\]*\"|[^\s;\"'\\<>]*)"
#: All values of a cookie's header, and what `Set-Cookie` says beside them.
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
    r"|(?P<escaped>(?P<run>\\+)(?P<mark>[\"']))(?P<inner>(?:[^\"'\\]|(?!(?P=mark))'|(?P=run)\\+[\"']|\\+(?![\\\"']))++)"
    r"|(?P<odd>\\+u00(?:22|27)|\\+x2[27]|&(?:quot|apos|#3[49]);|%2[27])(?:(?!(?P=odd))[^\"\r\n])++"
    rf"|{_ODD_WORD})",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
#: Asked before the expressions above, which are slow: how a name ends, and what makes it an assignment, in lower case.
_NAMED: Final = re.compile(rf"{TAIL}{_CLOSED}\s*(?:[:=]|%3[ad]|\\+u003[ad]|is\b)", re.ASCII)


def _as_json(shape: str) -> str:
    """A shape as JSON may write it: a slash as `\\/` (PHP does), with more backslashes where JSON stands in JSON.

    No other character of a shape has an escape of its own, and `\\u002f` and the like are suspect anywhere.
    """
    shape = re.sub(r"\[[^]]*/[^]]*\]", r"(?:\g<0>|\\\\+/)", shape)
    shape = shape.replace("1//0", r"1(?:\\*/){2}0")
    # Counting costs states: a shape ends with its first long run here, and what stands before its own letters is left out.
    shape = re.sub(r"^\[[^]]*\]\{[0-9,]+\}(?:\[0-9\])?", "", shape)
    long = next((count for count in re.finditer(r"\{([0-9]+)", shape) if int(count[1]) > _COUNTED), None)
    return f"{shape[: long.start()]}{{{_COUNTED}}}" if long else shape


_COUNTED: Final = 6


#: Every text that `clean_prose` or a webhook's rule changes matches one of these: two expressions, because each is fast
#: in Rust and one of both together is not, and without look-around.
_SPACE_SUSPECT: Final = r"(?:[ \t\r\n]|\\+[nrt])*"
NAMED_SUSPECT: Final = (
    rf"(?:{ENDING}|{NAME})(?:\\*\"|{_CLOSED_SUSPECT}{_SPACE_SUSPECT}(?:=|:|%3[ad]|is(?-i:[^A-Za-z])))"
    rf"|(?:{PHRASE}|{COOKIE}){_CLOSED_SUSPECT}{_SPACE_SUSPECT}(?:=|:|%3[ad])"
)
#: `_START` without looking back: shapes that may begin anywhere would need a state for each letter of every word.
_START_SUSPECT: Final = (
    r"(?:^|[^A-Za-z0-9_-]|\\(?:[nrtbfv]|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})|%[0-9A-Fa-f]{2}|=3[Dd])"
)
_LED: Final = tuple(shape for shape in SHAPES if shape.startswith("["))
_BEGUN: Final = ("eyJ[A-Za-z0-9_-]{8}", *(shape for shape in SHAPES if not shape.startswith(("[", "eyJ"))))
SHAPED_SUSPECT: Final = "|".join(
    (
        r"(?i:(?:bearer|basic)(?:[ \t]|\\+t))",
        "PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-",
        r"(?i:hooks\.slack\.com|discord(?:app)?\.com|webhook\.office\.com)",
        *map(_as_json, _LED),
        f"{_START_SUSPECT}(?:{'|'.join(sorted(map(_as_json, _BEGUN)))})",
    )
)

_SHORTEST_ASSIGNMENT: Final = 5
_SHORTEST_SHAPE: Final = 15


def clean_prose(text: str) -> str:
    """A text without what looks like a credential by its name or its shape."""
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
        _SHAPE_HINT.search(clean) or any([hint in clean for hint in SMALL_HINTS])  # noqa: C419  # half the time
    ):
        clean = _RUN.sub(_shaped, clean)
    return clean


def _shaped(run: re.Match[str]) -> str:
    return _SHAPE.sub(REDACTED, run[0])


def _assigned(match: re.Match[str]) -> str:
    value = match["quoted"] or match["inner"]
    if value and (match["phrase"] or match["cookie"]) and says_words(value, 2 if match["phrase"] else 1):
        return match[0]
    return f"{match[1]}{match['open'] or match['escaped'] or match['odd'] or ''}{REDACTED}"


def says_words(text: str, least: int) -> bool:
    """Whether a text is so many words at least and nothing else: "chocolate chip", not "sid=4711" or "xKq"."""
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
    """A text without secrets; the same object if there are none. Good for log lines too."""
    clean = clean_prose(clean_urls(text))
    return text if clean == text else clean
