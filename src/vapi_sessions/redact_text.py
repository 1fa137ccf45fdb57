"""The words by which credentials are known, and what is done to text: URLs lose their secrets, prose its keys. Pure.

A text is anything that stands under a harmless name: a prompt, a message, a tool's result, JSON that does not parse.
Three things are looked for in it: secrets in URLs, a secret's name followed by a value (`api_key = …`, `"token": "…"`,
`password is …`), and values whose shape gives them away (`Bearer …`, JSON web tokens, the prefixes that vendors give their
keys, private keys in PEM). In running prose a value must hold a digit or be long: "the secret: be patient" is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote

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


def words(names: Iterable[str]) -> str:
    """An alternation of names, in all their spellings."""
    return "|".join(name.replace(" ", "[-_. ]?") for name in names)


ENDING: Final = f"(?:{words(_SECRET_ENDINGS)})s?"
NAME: Final = f"(?:{words(_SECRET_NAMES)})"
VENDOR: Final = "x-(?:amz|goog)-[a-z0-9-]*"

# ---------------------------------------------------------------------------------------------------------------------
# URLs: one ends at white space, quotes, angle brackets and backslashes, which also keeps JSON in a string intact.
# Words are ASCII (`(?a:…)`): in any other letter for theirs (ſ, ı, İ) Python sees them, and the scan over whole pages not.

_END: Final = r"\s\"'<>\\"
_USER_INFO: Final = re.compile(rf"://[^/?#{_END}]*@")
_SIP_PASSWORD: Final = re.compile(rf"(\b(?a:sips?):[^:@/?{_END}]+:)[^@/?{_END}]+@", re.IGNORECASE)
_SIGNED_QUERY: Final = re.compile(
    rf"\?(?:[^?{_END}]*[&;])?(?a:(?:x-(?:amz|goog)-)?sig(?:nature)?)=[^?{_END}]*", re.IGNORECASE
)
_PARAMETER: Final = re.compile(
    rf"([?&#;](?:{words(_PARAMETERS)}|[\w.\-%\[\]]*{ENDING}|{VENDOR})=)[^?&#;{_END}]+",
    re.IGNORECASE | re.ASCII,
)
#: An OAuth redirect carries `code` and `state`; a `code` alone is as likely a voucher.
_OAUTH_CODE: Final = re.compile(rf"([?&#;]code=)[^?&#;{_END}]+")
_OAUTH_STATE: Final = re.compile("[?&#;]state=")
#: Tried only where a run of such characters begins: long texts without blanks (base64) would cost the square.
_ENCODED_URL: Final = re.compile(rf"(?<![^=&#;?{_END}])[^=&#;?{_END}]*%3a%2f%2f[^&#;?{_END}]*", re.IGNORECASE)
#: Where the path itself is the secret.
_WEBHOOK: Final = re.compile(
    rf"(\b(?a:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks)/)[^?#{_END}]+",
    re.IGNORECASE,
)


def clean_urls(text: str) -> str:
    """A text without the secrets of the URLs in it."""
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
    if "/" in clean:
        clean = _WEBHOOK.sub(rf"\1{REDACTED}", clean)
    return clean


def _encoded_url(match: re.Match[str]) -> str:
    """A URL inside a URL's parameter, percent-encoded."""
    inner = unquote(match[0])
    clean = clean_urls(inner)
    return match[0] if clean == inner else quote(clean, safe="")


def clean_signed_url(url: str) -> str:
    """A pre-signed URL without its query."""
    clean = clean_urls(url)
    start, mark, query = clean.partition("?")
    return clean if not mark or query == REDACTED else f"{start}?{REDACTED}"


# ---------------------------------------------------------------------------------------------------------------------
# Prose. The shapes stand once, for Python's expressions here and for the scan over whole pages in `redact`.

#: What vendors begin their keys with, and what follows in every one of them.
_SHAPES: Final = (
    "sk-[A-Za-z0-9_-]{20}", "[sr]k_[A-Za-z0-9_]{16}", "whsec_[A-Za-z0-9+/]{16}",  # OpenAI, Anthropic; Stripe, ElevenLabs
    "gh[pousr]_[A-Za-z0-9]{20}", "github_pat_[A-Za-z0-9_]{20}", "glpat-[A-Za-z0-9_-]{16}", "npm_[A-Za-z0-9]{20}",
    "xox[a-z]-[A-Za-z0-9-]{10}", "xapp-[A-Za-z0-9-]{10}", "hf_[A-Za-z0-9]{20}",
    "AIza[A-Za-z0-9_-]{30}", "ya29[.][A-Za-z0-9_-]{16}", "(?:AKIA|ASIA)[A-Z0-9]{16}",  # Google, AWS
    "(?:AC|SK)[0-9a-f]{32}", "SG[.][A-Za-z0-9_-]{16}", "eyJ[A-Za-z0-9_-]{8,2000}[.][A-Za-z0-9_-]{8}",  # Twilio, JWT
)  # fmt: skip
_SHAPE: Final = re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(_SHAPES)})[\w.~+/=-]*", re.ASCII)
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
#: A word that is no English one: it holds a digit, or is long.
_WORD: Final = r"[^\s\"'<>,;&(){}\[\]\\]"
_ODD_WORD: Final = rf"(?={_WORD}*[\d=]|{_WORD}{{24}}){_WORD}{{6,}}"
_SCHEME: Final = re.compile(rf"(\b(?a:Bearer|Basic)[ \t]+){_ODD_WORD}", re.IGNORECASE)
_IS: Final = r"[ \t]*(?:=>|[:=]|\bis\b:?)\s*"
_ASSIGNMENT: Final = re.compile(
    rf"((?:{ENDING}|(?<![A-Za-z0-9_-]){NAME})\\*[\"']?{_IS})"
    r"(?:"
    r"(?P<open>[\"'])(?P<quoted>(?:(?!(?P=open))[^\\]|\\.)++)"
    r"|(?P<escaped>\\+[\"'])(?:[^\"'\\]|\\+[^\"'\\])+"
    rf"|{_ODD_WORD})",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)


def _as_json(shape: str) -> str:
    """A shape as JSON may write it: a slash as `\\/` (PHP does), with more backslashes where JSON stands in JSON.

    No other character of a shape has an escape of its own, and `\\u002f` and the like are suspect anywhere.
    """
    return re.sub(r"\[[^]]*/[^]]*\]", r"(?:\g<0>|\\\\+/)", shape)


#: Every text that `clean_prose` or a webhook's rule changes matches one of these: two expressions, because each is fast
#: in Rust and one of both together is not, and without look-around.
NAMED_SUSPECT: Final = rf"(?:{ENDING}|{NAME})\\*[\"']?(?:[ \t\r\n]|\\+[nrt])*(?:=|:|is(?-i:[^A-Za-z]))"
SHAPED_SUSPECT: Final = "|".join(
    (
        r"(?i:(?:bearer|basic)(?:[ \t]|\\+t))",
        "PRIVATE KEY-----",
        r"(?i:hooks\.slack\.com|discord(?:app)?\.com)",
        *map(_as_json, _SHAPES[:-1]),
        "eyJ[A-Za-z0-9_-]{8}",
    )
)


#: One of these is in every name of a secret, and one of those in every telling shape: asked first, because it is cheap.
_NAME_HINTS: Final = (
    "key",
    "token",
    "secret",
    "pass",
    "sid",
    "auth",
    "cookie",
    "jwt",
    "webhook",
    "connection",
)
_SHAPE_HINTS: Final = (
    "sk-", "k_", "whsec_", "gh", "github_pat_", "glpat-", "npm_", "xox", "xapp-", "hf_", "AIza", "ya29.", "AKIA", "ASIA", "AC", "SK", "SG.",
    "eyJ",
)  # fmt: skip
_SHORTEST_ASSIGNMENT: Final = 5
_SHORTEST_SHAPE: Final = 15


def clean_prose(text: str) -> str:
    """A text without what looks like a credential by its name or its shape."""
    if len(text) < _SHORTEST_ASSIGNMENT:
        return text
    lower = text.lower()
    clean = text
    if any(hint in lower for hint in _NAME_HINTS):
        clean = _ASSIGNMENT.sub(_assigned, clean)
    if "bearer" in lower or "basic" in lower:
        clean = _SCHEME.sub(rf"\1{REDACTED}", clean)
    if "PRIVATE KEY-----" in clean:
        clean = _PEM.sub(REDACTED, clean)
    if len(text) >= _SHORTEST_SHAPE and any(hint in clean for hint in _SHAPE_HINTS):
        clean = _SHAPE.sub(REDACTED, clean)
    return clean


def _assigned(match: re.Match[str]) -> str:
    return f"{match[1]}{match['open'] or match['escaped'] or ''}{REDACTED}"


def redact_text(text: str) -> str:
    """A text without secrets; the same object if there are none. Good for log lines too."""
    clean = clean_prose(clean_urls(text))
    return text if clean == text else clean
