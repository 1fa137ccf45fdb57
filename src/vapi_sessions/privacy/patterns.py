"""The words and shapes by which credentials are known. Data only; each expression here is one that RE2 takes, too.

Shapes are the beginnings that vendors give their keys, and the least that follows. They were compared with the rules of
gitleaks (2025) and detect-secrets (1.5), and with every credential schema of Vapi's contract:

| taken | left | why left |
|---|---|---|
| prefixes of those whose keys come to a voice assistant: models, speech, telephony, mail, payment, shops, clouds, code, monitoring | prefixes of others (1Password, Adobe, age, Airtable, Artifactory, Cal.com, Clojars, Contentful, Dropbox, Duffel, Dynatrace, EasyPost, Figma, Flutterwave, Fly.io, Frame.io, Harness, Heroku, Intercom, Netlify, OpenShift, Plaid, ReadMe, RubyGems, Scalingo, SettleMint, Shippo, Sourcegraph, Square, Terraform, Yandex) | each prefix makes the scan over every page half a percent slower; a name beside them finds them |
| | rules for 32 to 64 letters and digits near a vendor's name | hashes, ids and trace numbers look the same; a name beside them (`apiKey`, `… token`) is found by its name |
| private keys (PEM, PGP, PuTTY), JSON web tokens, user info in URLs | certificates, public keys (`pk_live_`, `FLWPUBK`, `pubkey-`), client ids | no secrets; Langfuse's `pk-lf-` is taken, its partner stands beside it |
| names (`keyword`, `generic-api-key`) as whole words or endings | any name that contains `key`, `token`, `auth` | `promptTokens`, `publicKey`, `author` |
| Slack, Discord and Teams webhooks | strings of high entropy, Discord's and MaxMind's tokens (only runs and dots), public IP addresses, Kubernetes manifests | ids of sessions and calls are as random as keys |

Of the contract's vendors these have no shape of their own, and are known by name and place only: AssemblyAI, Azure,
Deepgram, DeepInfra, Gladia, Hume, Inflection, Inworld, LMNT, Make, MiniMax, Mistral, Neuphonic, PlayHT, Rime, Smallest AI,
Soniox, Speechmatics, Tavus, Vonage, WellSaid, and Together's older keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# ---------------------------------------------------------------------------------------------------------------------
# Names. A blank stands for "nothing, or one of - _ . and blank": `api key` is apiKey, api_key, API-Key, apikey.

#: `… key` is secret after one of these; `key`, `publicKey` and `promptCacheKey` are not.
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
#: `… token` is secret in the singular, but not after these.
PLAIN_TOKENS: Final = (
    "page", "next", "continuation", "sync", "prompt", "completion", "stop", "eos", "bos", "pad", "unk", "start", "end", "special",
    "input", "output", "cached", "reasoning", "total", "max", "min", "per", "first", "last",
)  # fmt: skip
#: Secret as a whole name only.
_NAMES: Final = ("authorization", "proxy authorization", "jwt", "csrf", "xsrf", "bearer", "pass code")
#: Secret as a whole name, unless the value is words: a boarding pass, chocolate chip.
_PHRASES: Final = ("pass", "auth", "sig", "basic auth", "proxy auth", "http auth")
_COOKIES: Final = ("cookies?", "set cookies?", "session cookies?", "auth cookies?")
#: Query parameters that are secret as a whole name, beside everything above.
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
    """An alternation of names, in all their spellings."""
    return "|".join(
        name.replace(" ", "[-_. ]?") for name in sorted(names)
    )  # sorted: RE2 shares beginnings of neighbours


#: What may follow a name: `clientSecretValue`, `apiKey2`, `tokenHeader`.
_SUFFIX: Final = r"(?:[-_. ]?(?:value|text|string|header|plain(?:text)?|raw|[0-9]{1,4})){0,2}"
_LISTED: Final = (
    rf"(?:(?:{words(_KEYS)})[-_. ]?keys?(?:[-_. ]?id)?|(?:{words(_TOKENS)})[-_. ]?tokens?|(?:{words(_PASSES)})[-_. ]?pass"
    r"|account[-_. ]?sids?|secrets?|passwords?|passwd|pass[-_. ]?phrases?|passcodes?|pwd|auth[-_. ]?usernames?"
    r"|webhook[-_. ]?urls?|conn(?:ection)?[-_. ]?strings?)"
)
#: A name that ends so is secret; `token` alone ends a few that are not.
ENDING: Final = rf"(?:{_LISTED}|token){_SUFFIX}"
NAME: Final = rf"(?:{words(_NAMES)}){_SUFFIX}"
PHRASE: Final = rf"(?:{words(_PHRASES)}){_SUFFIX}"
COOKIE: Final = rf"(?:{words(_COOKIES)}){_SUFFIX}"
PARAMETER: Final = rf"(?:{words(_PARAMETERS)})"
VENDOR: Final = "x-(?:amz|goog)-[a-z0-9-]*"

_NO_TOKEN: Final = "".join(rf"(?<!{word}token)(?<!{word}[-_. ]token)" for word in PLAIN_TOKENS)
#: The same as `ENDING`, exactly: for Python, which can look back.
EXACT_ENDING: Final = rf"(?:{_LISTED}|token{_NO_TOKEN}){_SUFFIX}"

#: How every name above ends, each alternative with a letter first, which Python's search makes use of.
TAIL: Final = (
    r"(?:keys?(?:[-_. ]?id)?|tokens?|secrets?|pass(?:words?|wd|[-_. ]?phrases?|[-_. ]?codes?)?|pwd|sids?|auth(?:orization|[-_. ]?usernames?)?"
    rf"|webhook[-_. ]?urls?|strings?|cookies?|jwt|csrf|xsrf|bearer|sig){_SUFFIX}"
)

# ---------------------------------------------------------------------------------------------------------------------
# Shapes: what vendors begin their keys with, and what follows in every one of them.

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
#: A shape holds a mark with a run of such characters behind it, or a beginning without a mark. Asked first; no UUID or time has it.
#: Beginnings in small letters stand apart: an expression would stop at each such letter of a text.
SHAPE_HINT: Final = (
    r"(?:[_.~]|-(?<![0-9a-f]-))[A-Za-z0-9_+/-]{8}|AIza|1//0|AKIA|ASIA|ABIA|ACCA|ABSK|LTAI|Q~|GR1348941|ATBB|AC[0-9a-f]"
    r"|SK[0-9a-f]|ATATT|ATCTT|-us[0-9]|EAA|LS0tLS1|:AA"
)
SMALL_HINTS: Final = ("eyJ", "dapi", "fc-", "xox", "xkeysib", "v1.0")
