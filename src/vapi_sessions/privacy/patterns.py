"""Names and shapes of credentials: data only. To add a secret pattern, add it here.

A new name belongs to one of the lists of names, and `TAIL` must match its ending. A new shape, such as a vendor's prefix, belongs to
`SHAPES`, and `SHAPE_HINT` or `SMALL_HINTS` must match it; tests check both. Raise `REDACTOR_VERSION` in `redaction.py`, so that
stored sessions are redacted again. Names and shapes must be valid expressions for Python and for RE2.

A shape is the prefix of a vendor's keys and the minimum that follows it. The shapes were compared with the rules of gitleaks (2025)
and detect-secrets (1.5), and with every credential schema of Vapi's contract:

| included | excluded | why excluded |
|---|---|---|
| prefixes of vendors that voice assistants use: models, speech, telephony, mail, payment, shops, clouds, code, monitoring | prefixes of others (1Password, Adobe, age, Airtable, Artifactory, Cal.com, Clojars, Contentful, Dropbox, Duffel, Dynatrace, EasyPost, Figma, Flutterwave, Fly.io, Frame.io, Harness, Heroku, Intercom, Netlify, OpenShift, Plaid, ReadMe, RubyGems, Scalingo, SettleMint, Shippo, Sourcegraph, Square, Terraform, Yandex) | each prefix makes the scan of every page 0.5 % slower; names find them |
| | rules for 32 to 64 letters and digits near a vendor's name | hashes, ids and trace numbers look the same; names (`apiKey`, `… token`) find them |
| private keys (PEM, PGP, PuTTY), JSON web tokens, user info in URLs | certificates, public keys (`pk_live_`, `FLWPUBK`, `pubkey-`), client ids | not secret, except Langfuse's `pk-lf-`, which is included because it comes with its secret |
| names (`keyword`, `generic-api-key`), whole or as an ending | any name that contains `key`, `token`, `auth` | `promptTokens`, `publicKey`, `author` |
| Slack, Discord and Teams webhooks | strings of high entropy, Discord's and MaxMind's tokens (only letters, digits and dots), public IP addresses, Kubernetes manifests | ids of sessions and calls are as random as keys |

Keys of these vendors of the contract have no shape and are found only by name: AssemblyAI, Azure, Deepgram, DeepInfra, Gladia, Hume,
Inflection, Inworld, LMNT, Make, MiniMax, Mistral, Neuphonic, PlayHT, Rime, Smallest AI, Soniox, Speechmatics, Tavus, Vonage,
WellSaid, and Together's older keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# ---------------------------------------------------------------------------------------------------------------------
# Names. A blank matches nothing or one of - _ . and blank: `api key` matches apiKey, api_key, API-Key, apikey.

#: Secret with `key` behind: `api key`. Not secret: `key`, `publicKey`, `promptCacheKey`.
_KEYS: Final = (
    "api", "open ai", "subscription", "access", "secret", "gcp", "private", "priv", "signing", "encryption", "account",
    "auth", "service", "client", "db", "database", "master", "admin", "license", "ssh", "session", "shared", "hmac", "app",
    "application", "deploy", "webhook", "aws", "azure", "anthropic", "cartesia", "cerebras", "deepgram", "deepseek",
    "eleven labs", "gemini", "google", "groq", "mistral", "open router", "perplexity", "sendgrid", "stripe", "supabase",
    "together", "twilio", "vapi", "vonage", "xai",
)  # fmt: skip
_TOKENS: Final = ("api", "auth", "access", "refresh", "id", "session", "security", "bearer", "sas")
_PASSES: Final = (
    "db",
    "database",
    "smtp",
    "mail",
    "ftp",
    "user",
    "admin",
    "login",
    "my sql",
    "key",
    "auth",
    "root",
    "proxy",
)
#: `… token` is secret in the singular, except after these words.
PLAIN_TOKENS: Final = (
    "page", "next", "continuation", "sync", "prompt", "completion", "stop", "eos", "bos", "pad", "unk", "start", "end", "special",
    "input", "output", "cached", "reasoning", "total", "max", "min", "per", "first", "last",
)  # fmt: skip
#: Secret only as a whole name.
_NAMES: Final = ("authorization", "proxy authorization", "jwt", "csrf", "xsrf", "bearer", "pass code")
#: Secret only as a whole name, and only if the value is not words: a boarding pass.
_PHRASES: Final = ("pass", "auth", "sig", "basic auth", "proxy auth", "http auth")
_COOKIES: Final = ("cookies?", "set cookies?", "session cookies?", "auth cookies?")
#: Further names that are secret as the whole name of a query parameter.
_PARAMETERS: Final = (
    "key",
    "auth",
    "sig",
    "signature",
    "pass",
    "credential",
    "key pair id",
    "policy",
    "tokens",
)


def words(names: Iterable[str]) -> str:
    """An expression for any of the names, in all spellings."""
    return "|".join(
        name.replace(" ", "[-_. ]?") for name in sorted(names)
    )  # sorted, because RE2 then shares common prefixes


#: Allowed behind a name: `clientSecretValue`, `apiKey2`, `tokenHeader`.
_SUFFIX: Final = r"(?:[-_. ]?(?:value|text|string|header|plain(?:text)?|raw|[0-9]{1,4})){0,2}"
_LISTED: Final = (
    rf"(?:(?:{words(_KEYS)})[-_. ]?keys?(?:[-_. ]?id)?|(?:{words(_TOKENS)})[-_. ]?tokens?|(?:{words(_PASSES)})[-_. ]?pass"
    r"|account[-_. ]?sids?|secrets?|passwords?|passwd|pass[-_. ]?phrases?|passcodes?|pwd|auth[-_. ]?usernames?"
    r"|webhook[-_. ]?urls?|conn(?:ection)?[-_. ]?strings?)"
)
#: Secret as the ending of a name. Also matches some names that end with `token` and are not secret.
ENDING: Final = rf"(?:{_LISTED}|token){_SUFFIX}"
NAME: Final = rf"(?:{words(_NAMES)}){_SUFFIX}"
PHRASE: Final = rf"(?:{words(_PHRASES)}){_SUFFIX}"
COOKIE: Final = rf"(?:{words(_COOKIES)}){_SUFFIX}"
PARAMETER: Final = rf"(?:{words(_PARAMETERS)})"
VENDOR: Final = "x-(?:amz|goog)-[a-z0-9-]*"

_NO_TOKEN: Final = "".join(rf"(?<!{word}token)(?<!{word}[-_. ]token)" for word in PLAIN_TOKENS)
#: `ENDING` without these exceptions. Python only: RE2 has no lookbehind.
EXACT_ENDING: Final = rf"(?:{_LISTED}|token{_NO_TOKEN}){_SUFFIX}"

#: How every name above ends. Each alternative begins with a letter, because Python searches faster then.
TAIL: Final = (
    r"(?:keys?(?:[-_. ]?id)?|tokens?|secrets?|pass(?:words?|wd|[-_. ]?phrases?|[-_. ]?codes?)?|pwd|sids?|auth(?:orization|[-_. ]?usernames?)?"
    rf"|webhook[-_. ]?urls?|strings?|cookies?|jwt|csrf|xsrf|bearer|sig){_SUFFIX}"
)

# ---------------------------------------------------------------------------------------------------------------------
# Shapes: prefixes of keys, each with the characters that follow in every key.

_W: Final = "[A-Za-z0-9_-]"
_A: Final = "[A-Za-z0-9]"
_X: Final = "[0-9a-f]"
SHAPES: Final = (
    # Voice, language and speech models. `sk-`: OpenAI, Anthropic, DeepSeek, OpenRouter, MiniMax, Langfuse; `sk_`: ElevenLabs,
    # Cartesia, Stripe, Clerk.
    f"sk-{_W}{{20}}", f"sk_{_A[:-1]}_]{{16}}", f"rk_{_A[:-1]}_]{{16}}", f"pk-lf-{_W}{{16}}", f"gsk_{_A}{{20}}", f"xai-{_A}{{20}}", f"pplx-{_A}{{20}}",
    f"csk-{_A}{{20}}", f"rpa_{_A}{{20}}", f"(?:tgp_v1_|esecret_|nvapi-){_W}{{20}}", f"(?:hf_|api_org_){_A}{{20}}",
    f"r8_{_A}{{20}}", f"fw_{_A}{{20}}", f"jina_{_A}{{20}}", f"tvly-{_W}{{20}}", f"fc-{_X}{{32}}", f"lsv2_[ps][tk]_{_X}{{32}}",
    f"pcsk_{_A[:-1]}_]{{20}}", f"ph[cx]_{_A}{{32}}", f"pit-{_X}{{8}}-{_X}{{4}}-",
    # Clouds and platforms.
    f"AIza{_W}{{30}}", f"ya29[.]{_W}{{16}}", f"GOCSPX-{_W}{{20}}", f"1//0{_W}{{30}}",
    "(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}", "ABSK[A-Za-z0-9+/]{60}", "bedrock-api-key-[A-Za-z0-9+/]{20}", "LTAI[A-Za-z0-9]{20}",
    f"sbp_{_X}{{40}}", f"sb_secret_{_W}{{20}}", f"v1[.]0-{_X}{{24}}-{_X}{{40}}", f"do[opr]_v1_{_X}{{40}}", f"dapi{_X}{{32}}",
    f"pscale_(?:tkn|oauth|pw)_{_W}{{30}}",
    f"hv[bs][.]{_W}{{60}}", f"dp[.](?:pt|st|ct|sa|scim|audit)[.]{_W}{{30}}",
    f"pul-{_X}{{40}}", f"dckr_(?:pat|oat)_{_W}{{20}}",
    f"pnu_{_A}{{30}}", "[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31}",
    # Code, packages, monitoring.
    f"gh[pousr]_{_A}{{20}}", f"github_pat_{_A[:-1]}_]{{20}}", f"gl(?:pat|dt|ft|rt|soat|ptt|cbt|imt|agent|oas|ffct)-{_W}{{16}}",
    f"GR1348941{_W}{{20}}", f"npm_{_A}{{20}}", f"pypi-{_W}{{50}}",
    f"AT(?:ATT|CTT)3{_W}{{40}}", f"ATBB{_A}{{28}}",
    f"(?:glc_|glsa_){_A}{{30}}", f"sntry[su]_{_A}{{30}}",
    f"NR(?:AK|II|JS)-{_A}{{19}}", f"PMAK-{_X}{{24}}-",
    # Messages, shops, payments, workplaces.
    f"(?:AC|SK){_X}{{32}}", f"SG[.]{_W}{{16}}", "whsec_[A-Za-z0-9+/]{16}", "xox[a-z]-[A-Za-z0-9-]{10}", "xapp-[A-Za-z0-9-]{10}",
    "xoxe[.]xox[bp]-[A-Za-z0-9-]{10}", "[0-9]{8,10}:AA[A-Za-z0-9_-]{32}",
    f"xkeysib-{_X}{{60}}", f"key-{_X}{{32}}", f"{_X}{{32}}-us[0-9]{{1,2}}", f"re_{_A}{{8}}_{_A}{{16}}", f"EAA[A-Z]{_A}{{60}}",
    f"shp(?:at|ca|pa|ss)_{_X}{{32}}",
    f"ntn_{_A}{{40}}", f"lin_api_{_A}{{40}}", f"tfp_{_W}{{40}}",
    f"apify_api_{_A}{{30}}",

    # JSON web tokens, and a private key in base64.
    "eyJ[A-Za-z0-9_-]{8,2000}[.][A-Za-z0-9_-]{8}",
    "LS0tLS1CRUdJTi(?:BQUklWQVRF|BSU0EgUFJJ|BFQyBQUkl|BPUEVOU1NI|BFTkNSWVBURU)[A-Za-z0-9+/]{20}",
)  # fmt: skip
#: Fast test before `SHAPES`: every shape contains a separator followed by such characters, or one of these prefixes. No UUID or time
#: matches. Prefixes in lower case are tested separately, because the expression would stop at each such letter of a text.
SHAPE_HINT: Final = (
    r"(?:[_.~]|-(?<![0-9a-f]-))[A-Za-z0-9_+/-]{8}|AIza|1//0|AKIA|ASIA|ABIA|ACCA|ABSK|LTAI|Q~|GR1348941|ATBB|AC[0-9a-f]"
    r"|SK[0-9a-f]|ATATT|ATCTT|-us[0-9]|EAA|LS0tLS1|:AA"
)
SMALL_HINTS: Final = ("eyJ", "dapi", "fc-", "xox", "xkeysib", "v1.0")
