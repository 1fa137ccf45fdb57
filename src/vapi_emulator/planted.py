"""Embedded configuration with planted credentials: a transient assistant, a squad, a phone number, …

No credential is real. Each contains `SECRET-`, so that a test can search the exporter's files for it. Together they use
every key name under which the source is known to send credentials.
"""

from __future__ import annotations

from typing import Any, Final

#: Every planted credential contains this.
MARKER: Final = "SECRET-"

Json = dict[str, Any]

_SERVER: Final[Json] = {
    "url": "https://hooks.northwind.example/vapi",
    "timeoutSeconds": 20,
    "credentialId": "3c1f2a54-0000-4000-8000-00000000c0de",
    "headers": {"Authorization": "Bearer SECRET-server-header", "X-Tenant": "SECRET-server-tenant"},
}
_LEAKY_SERVER: Final[Json] = {
    **_SERVER,
    "url": "https://riley:SECRET-url-password@hooks.northwind.example/vapi?token=SECRET-url-token&v=2",
    "secret": "SECRET-server-secret",
}
_TOOLS: Final[list[Json]] = [
    {
        "type": "function",
        "async": False,
        "function": {
            "name": "look_up_order",
            "description": "Looks an order up by its number.",
            "parameters": {
                "type": "object",
                "properties": {"order": {"type": "string"}},
                "required": ["order"],
            },
        },
        "server": _SERVER,
        "parameters": [{"key": "apiKey", "value": "SECRET-tool-parameter"}],
    },
    {
        "type": "code",
        "name": "price_calculator",
        "code": "return price * amount",
        "environmentVariables": [{"name": "SHOP_KEY", "value": "SECRET-environment-variable"}],
    },
]
_CREDENTIALS: Final[list[Json]] = [
    {"provider": "openai", "apiKey": "SECRET-credential-openai"},
    {"provider": "twilio", "accountSid": "SECRET-credential-sid", "authToken": "SECRET-credential-twilio"},
    {"provider": "webhook", "authenticationPlan": {"type": "bearer", "token": "SECRET-credential-bearer"}},
]

#: Undeclared fields with rare key names, outside a `credentials` array.
INTEGRATIONS: Final[Json] = {
    "azure": {"openAIKey": "SECRET-azure-openai", "ocpApimSubscriptionKey": "SECRET-azure-apim"},
    "aws": {
        "awsAccessKeyId": "SECRET-aws-id",
        "awsSecretAccessKey": "SECRET-aws-key",
        "accessKeyId": "SECRET-s3-id",
        "secretAccessKey": "SECRET-s3-key",
    },
    "gcp": {
        "gcpKey": {
            "privateKey": "SECRET-gcp-private",
            "privateKeyId": "SECRET-gcp-id",
            "clientEmail": "SECRET-gcp-mail",
        },
        "bucketPlan": {"hmacAccessKey": "SECRET-hmac-access", "hmacSecret": "SECRET-hmac-secret"},
    },
    "oauth": {
        "clientSecret": "SECRET-oauth-client",
        "accessToken": "SECRET-oauth-access",
        "refreshToken": "SECRET-oauth-refresh",
        "token": "SECRET-oauth-token",
    },
    "sip": {"authUsername": "SECRET-sip-user", "authPassword": "SECRET-sip-password"},
    "other": {
        "apiKey": "SECRET-api-key",
        "apiSecret": "SECRET-api-secret",
        "authToken": "SECRET-auth-token",
        "accountSid": "SECRET-account-sid",
        "secretKey": "SECRET-secret-key",
        "privateKey": "SECRET-private-key",
        "webhookUrl": "https://hooks.slack.example/services/SECRET-webhook",
    },
}

#: Names that look like credentials but are not: a redaction must keep them.
HARMLESS: Final[Json] = {
    "tokenCount": 812,
    "budgetTokens": 2048,
    "credentialIds": ["3c1f2a54-0000-4000-8000-00000000c0de"],
}


def transient_assistant(name: str, prompt: str, variant: int) -> Json:
    """A transient assistant, with the customer's values in its prompt. Variants 0 to 3 have different credentials."""
    assistant: Json = {
        "name": name,
        "firstMessageMode": "assistant-speaks-first",
        "model": {
            "provider": "openai",
            "model": "gpt-4o",
            "temperature": 0.3,
            "maxTokens": 250,
            "messages": [{"role": "system", "content": prompt}],
            "tools": _TOOLS[:1],
        },
        "voice": {"provider": "vapi", "voiceId": "Elliot"},
        "server": _SERVER,
    }
    if variant == 1:
        assistant |= {"credentials": _CREDENTIALS, "serverUrlSecret": "SECRET-server-url"}
    elif variant == 2:
        assistant["model"] = {**assistant["model"], "tools": _TOOLS}
        assistant["server"] = _LEAKY_SERVER
    elif variant == 3:
        assistant["hooks"] = [
            {
                "on": "call.ending",
                "do": [
                    {
                        "type": "tool",
                        "tool": {
                            "type": "apiRequest",
                            "method": "POST",
                            "url": "https://crm.example",
                            "headers": {
                                "type": "object",
                                "properties": {"X-Key": {"type": "string", "value": "SECRET-hook-header"}},
                            },
                        },
                    }
                ],
            }
        ]
    return assistant


def assistant_overrides(values: Json) -> Json:
    """Overrides, as beside an `assistantId` and inside `customer`."""
    return {"variableValues": values, "server": _LEAKY_SERVER, "credentialIds": HARMLESS["credentialIds"]}


def transient_squad(prompt: str, assistant_id: str) -> Json:
    """A squad of a stored assistant and a transient one, which hands over with SIP headers."""
    return {
        "name": "Front desk",
        "members": [
            {"assistantId": assistant_id, "assistantOverrides": {"server": _SERVER}},
            {
                "assistant": transient_assistant("Specialist", prompt, 1),
                "assistantDestinations": [
                    {
                        "type": "assistant",
                        "assistantName": "Riley",
                        "sipHeaders": {"X-Handoff": "SECRET-sip-header"},
                        "assistantOverrides": {"server": _SERVER},
                    }
                ],
            },
        ],
    }


def phone_number(number: str) -> Json:
    """An imported Twilio number with its keys."""
    return {
        "twilioPhoneNumber": number,
        "twilioAccountSid": "SECRET-twilio-sid",
        "twilioAuthToken": "SECRET-twilio-token",
        "twilioApiKey": "SECRET-twilio-key",
        "twilioApiSecret": "SECRET-twilio-secret",
        "smsEnabled": True,
        "server": _SERVER,
    }


def presigned_urls(session_id: str, expires: str) -> Json:
    """Download links whose signature is a credential."""
    base = f"https://storage.vapi.example/{session_id}"
    return {
        "presignedMonoUrl": f"{base}-mono.wav?X-Amz-Credential=SECRET-presigned&X-Amz-Signature=SECRET-mono",
        "presignedLogUrl": f"{base}.log.gz?X-Amz-Signature=SECRET-log",
        "presignedUrlsExpiresAt": expires,
    }
