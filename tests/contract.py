"""Every place of the vendor's contract where a session can hold a text, and what the redactor owes to it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from reduced import REDUCED

Handling = Literal["redacted", "url", "harmless"]

#: The whole value is a credential, wherever the name stands.
REDACTED: Final = frozenset({
    "accessKeyId", "accessToken", "accountSid", "apiKey", "apiSecret", "authPassword", "authToken", "authUsername",
    "awsAccessKeyId", "awsSecretAccessKey", "clientSecret", "connectionString", "hmacAccessKey", "hmacSecret",
    "ocpApimSubscriptionKey", "openAIKey", "privateKey", "privateKeyId", "refreshToken", "secretAccessKey", "secretKey",
    "token", "twilioAccountSid", "twilioApiKey", "twilioApiSecret", "twilioAuthToken", "webhookUrl",
})  # fmt: skip
#: A credential by the schema that it belongs to.
REDACTED_IN: Final = frozenset({("CodeToolEnvironmentVariable", "value"), ("ToolParameter", "value")})
#: Everything below these is one, but for the labels of a credential.
REDACTED_BELOW: Final = frozenset({"credentials", "gcpKey", "headers", "sipHeaders"})
LABELS: Final = frozenset({"name", "provider", "type"})
#: URLs, which can carry user info, tokens and signatures.
URLS: Final = frozenset({
    "apiUrl", "assistantUrl", "authProviderX509CertUrl", "authUri", "backgroundSound", "callbackUrl", "clientX509CertUrl",
    "combinedUrl", "customerUrl", "holdAudioUrl", "logUrl", "loggingPath", "openAIEndpoint", "pcapUrl",
    "presignedAssistantUrl", "presignedCustomerUrl", "presignedLogUrl", "presignedMonoUrl", "presignedPcapUrl",
    "presignedStereoUrl", "presignedVideoUrl", "realtimeUrl", "recordingPath", "recordingUrl", "sipUri",
    "stereoRecordingUrl", "stereoUrl", "tokenUri", "transferCompleteAudioUrl", "url", "videoRecordingUrl", "videoUrl",
})  # fmt: skip
#: Ids, names, labels and free text: no credential by their name. What a text holds all the same is found by its form.
HARMLESS: Final = frozenset({
    "*", "[]", "accountEmail", "accountId", "agentContext", "arguments", "assistantId", "assistantName", "assistantRegex",
    "assistantVersion", "authorizationId", "awsAssumeRoleArn", "body", "callerId", "clientEmail", "clientId", "code",
    "containerName", "content", "conversationName", "conversationalContext", "createdAt", "credentialId", "customGreeting",
    "customerId", "customerRegex", "declineToolId", "defaultResult", "description", "domain", "email", "emotion",
    "endCallMessage", "enterCondition", "entryAssistantName", "exact", "expiresAt", "extension", "externalId",
    "firstMessage", "from", "globalPrompt", "groupId", "headerName", "id", "inlineSpeedAlpha", "instructions", "ip", "key",
    "language", "liquid", "message", "messageIdHeader", "model", "name", "nodeName", "number", "on", "orgId",
    "originalMessage", "param", "path", "pattern", "payloadFormat", "pcapS3PathPrefix", "pem", "personaId",
    "phoneNumberId", "presignedUrlsExpiresAt", "projectId", "prompt", "promptCacheKey", "promptName",
    "pronunciationDictId", "pronunciationDictionaryId", "publicKey", "realm", "recordingS3BucketName",
    "recordingS3BucketRegion", "refusal", "regex", "region", "replacementText", "result", "role", "roleArn",
    "s3BucketName", "s3PathPrefix", "scope", "signatureHeader", "signaturePrefix", "sipDiversionHeader", "source",
    "speakerLabel", "squadId", "structuredOutputId", "structuredOutputsLastUpdatedAt", "teamId", "techPrefix", "text",
    "timestampHeader", "title", "to", "toolCallId", "toolId", "tool_call_id", "traceName", "transcript",
    "transcriptionHint", "twilioPhoneNumber", "twiml", "type", "universeDomain", "updatedAt", "userId", "userName",
    "username", "value", "version",
    "acknowledgementPhrases", "assistantIds", "credentialIds", "customVocabulary", "detectedThreats", "encryptedPaths",
    "endCallPhrases", "enum", "fileIds", "interruptionPhrases", "keyterm", "keytermsPrompt", "keywords", "languages",
    "libraryIds", "monitorIds", "oneOf", "outcomeIds", "pronunciations", "required", "scorecardIds", "soundsLike",
    "startsWith", "structuredOutputIds", "tags", "toolIds", "values", "vocabulary", "wordBoost", "workflowIds",
    "versionId", "voiceId", "voicemailMessage", "waitFunction", "workflowId",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text can stand: the schema that declares it, and one way to it from the session ("[]": in an array)."""

    owner: str
    route: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name under which it stands, arrays left out."""
        return next((step for step in reversed(self.route) if step != "[]"), "[]")

    @property
    def handling(self) -> Handling | None:
        """What the redactor owes to it; None if nobody has said that yet."""
        above = REDACTED_BELOW & set(self.route[:-1])
        if above and not (above == {"credentials"} and self.route[-1] in LABELS):
            return "redacted"
        if self.name in REDACTED or any((self.owner, step) in REDACTED_IN for step in self.route[-2:]):
            return "redacted"
        return "url" if self.name in URLS else "harmless" if self.name in HARMLESS else None


@cache
def schemas() -> dict[str, Any]:
    """The contract's schemas, reduced to names and structure."""
    found: dict[str, Any] = json.loads(REDUCED.read_text("utf-8"))["components"]["schemas"]
    return found


@cache
def places() -> tuple[Place, ...]:
    """Every place, once for each member of the session that leads to it, by the shortest way."""
    return tuple(
        place for name, schema in schemas()["Session"]["properties"].items() for place in _below(schema, name)
    )


def _below(schema: dict[str, Any], name: str) -> Iterator[Place]:
    seen: set[str] = set()
    todo = deque([("Session", schema, (name,))])
    while todo:
        owner, schema, route = todo.popleft()
        reference = schema.get("$ref", "").split("/")[-1]
        if reference:
            # What lies below credentials is another thing than the same schema elsewhere.
            mark = reference + "!" * ("credentials" in route)
            if mark not in seen:
                seen.add(mark)
                todo.append((reference, schemas()[reference], route))
            continue
        for kind in ("oneOf", "anyOf", "allOf"):
            todo += [(owner, choice, route) for choice in schema.get(kind, ())]
        todo += [(owner, inner, (*route, key)) for key, inner in schema.get("properties", {}).items()]
        if "items" in schema:
            todo.append((owner, schema["items"], (*route, "[]")))
        if isinstance(schema.get("additionalProperties"), dict):
            todo.append((owner, schema["additionalProperties"], (*route, "*")))
        elif schema.get("type") == "object" and "properties" not in schema:
            yield Place(owner, (*route, "*"))
        if schema.get("type") == "string" and "enum" not in schema:
            yield Place(owner, route)


class ConflictError(Exception):
    """A place is taken by another kind of value: it needs another session."""


def plant(session: dict[str, Any], route: tuple[str, ...], value: str) -> None:
    """Put a text at its place in a session that is made as it goes. Raises ConflictError."""
    here: Any = session
    for step, following in zip(route, [*route[1:], None], strict=True):
        last = following is None
        if step == "[]":
            if last:
                here.append(value)
                return
            if not here:
                here.append([] if following == "[]" else {})
            here = here[0]
        else:
            if last:
                if step in here:
                    raise ConflictError
                here[step] = value
                return
            here = here.setdefault(step, [] if following == "[]" else {})
        if not isinstance(here, list if following == "[]" else dict):
            raise ConflictError
