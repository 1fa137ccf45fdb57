"""Names of secrets, names that only sound secret, and a page of one session, for the tests of redaction."""

from __future__ import annotations

import json
from typing import Any

from vapi_sessions.privacy.redaction import redact_page

#: A secret that tests search for.
CANARY = "c4n4ry"
#: Names of secrets in the contract and in practice, in all spellings that occur.
SECRET_NAMES = [
    "apiKey", "api_key", "apikey", "API-Key", "x-api-key", "apiSecret", "authToken", "auth_token", "accountSid",
    "openAIKey", "openaiKey", "ocpApimSubscriptionKey", "awsAccessKeyId", "awsSecretAccessKey", "accessKeyId",
    "secretAccessKey", "hmacAccessKey", "hmacSecret", "gcpKey", "privateKey", "private_key_id", "privateKeyId",
    "clientSecret", "client_secret", "accessToken", "refreshToken", "token", "TOKEN", "secretKey", "authPassword",
    "authUsername", "webhookUrl", "twilioAuthToken", "twilioApiKey", "twilioApiSecret", "twilioAccountSid",
    "serverUrlSecret", "secret", "password", "connectionString", "Authorization", "x-vapi-secret", "apiKeys", "secrets",
]  # fmt: skip
#: Names that only sound like secrets.
PLAIN_NAMES = [
    "promptTokens", "completionTokens", "cachedPromptTokens", "reasoningTokens", "maxTokens", "budgetTokens", "tokenCount",
    "credentialId", "credentialIds", "publicKey", "promptCacheKey", "keypadInputPlan", "keywords", "secretIsBase64", "key",
    "headerName", "encryptedContent", "dictionaryId", "value", "name", "parameters", "sessionId", "authorizationId", "url",
]  # fmt: skip


def compact(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def page(value: Any) -> Any:
    """A value after `redact_page`."""
    return json.loads(redact_page([compact(value)])[0])
