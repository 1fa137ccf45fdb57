"""Every field in the vendor's contract that may be a string, and what the redactor must do with it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from write_contract import REDUCED

Handling = Literal["redacted", "url", "harmless"]

#: The whole value is a credential, in any schema.
REDACTED: Final = frozenset({
    "accessKeyId", "accessToken", "accountSid", "apiKey", "apiSecret", "authPassword", "authToken", "authUsername",
    "awsAccessKeyId", "awsSecretAccessKey", "clientSecret", "connectionString", "hmacAccessKey", "hmacSecret",
    "ocpApimSubscriptionKey", "openAIKey", "privateKey", "privateKeyId", "refreshToken", "secretAccessKey", "secretKey",
    "token", "twilioAccountSid", "twilioApiKey", "twilioApiSecret", "twilioAuthToken", "webhookUrl",
})  # fmt: skip
#: A credential in this schema only.
REDACTED_IN: Final = frozenset({("CodeToolEnvironmentVariable", "value"), ("ToolParameter", "value")})
#: Everything below these is a credential, except for its labels.
REDACTED_BELOW: Final = frozenset({"credentials", "gcpKey", "headers", "sipHeaders"})
LABELS: Final = frozenset({"name", "provider", "type"})
#: URLs, which may contain user info, tokens and signatures.
URLS: Final = frozenset({
    "apiUrl", "assistantUrl", "authProviderX509CertUrl", "authUri", "backgroundSound", "callbackUrl", "clientX509CertUrl",
    "combinedUrl", "customerUrl", "holdAudioUrl", "logUrl", "loggingPath", "openAIEndpoint", "pcapUrl",
    "presignedAssistantUrl", "presignedCustomerUrl", "presignedLogUrl", "presignedMonoUrl", "presignedPcapUrl",
    "presignedStereoUrl", "presignedVideoUrl", "realtimeUrl", "recordingPath", "recordingUrl", "sipUri",
    "stereoRecordingUrl", "stereoUrl", "tokenUri", "transferCompleteAudioUrl", "url", "videoRecordingUrl", "videoUrl",
})  # fmt: skip
#: Ids, names, labels and free text: not credentials by their name. Credentials inside such texts are found by their shape.
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
class TextField:
    """A field that may be a string: the schema that declares it, and a path to it from the session ("[]": an array's items)."""

    owner: str
    path: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last member name in its path."""
        return next((step for step in reversed(self.path) if step != "[]"), "[]")

    @property
    def handling(self) -> Handling | None:
        """What the redactor must do with it; None if it is not classified yet."""
        above = REDACTED_BELOW & set(self.path[:-1])
        if above and not (above == {"credentials"} and self.path[-1] in LABELS):
            return "redacted"
        if self.name in REDACTED or any((self.owner, step) in REDACTED_IN for step in self.path[-2:]):
            return "redacted"
        return "url" if self.name in URLS else "harmless" if self.name in HARMLESS else None


@cache
def schemas() -> dict[str, Any]:
    """The contract's schemas, reduced to names and structure."""
    found: dict[str, Any] = json.loads(REDUCED.read_text("utf-8"))["components"]["schemas"]
    return found


@cache
def text_fields() -> tuple[TextField, ...]:
    """Every such field, by its shortest path through each member of the session."""
    return tuple(
        field for name, schema in schemas()["Session"]["properties"].items() for field in _below(schema, name)
    )


def _below(schema: dict[str, Any], name: str) -> Iterator[TextField]:
    seen: set[tuple[str, bool]] = set()
    todo = deque([("Session", schema, (name,))])
    while todo:
        owner, schema, path = todo.popleft()
        reference = schema.get("$ref", "").split("/")[-1]
        if reference:
            visit = (
                reference,
                "credentials" in path,
            )  # a schema below credentials is redacted, elsewhere it is not
            if visit not in seen:
                seen.add(visit)
                todo.append((reference, schemas()[reference], path))
            continue
        for kind in ("oneOf", "anyOf", "allOf"):
            todo += [(owner, choice, path) for choice in schema.get(kind, ())]
        todo += [(owner, inner, (*path, key)) for key, inner in schema.get("properties", {}).items()]
        if "items" in schema:
            todo.append((owner, schema["items"], (*path, "[]")))
        if isinstance(schema.get("additionalProperties"), dict):
            todo.append((owner, schema["additionalProperties"], (*path, "*")))
        elif schema.get("type") == "object" and "properties" not in schema:
            yield TextField(owner, (*path, "*"))
        if schema.get("type") == "string" and "enum" not in schema:
            yield TextField(owner, path)


class ConflictError(Exception):
    """The session already has another value at this path. Use another session."""


def plant(session: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    """Sets a value at a path, and creates the objects and arrays on the way. Raises ConflictError."""
    here: Any = session
    for step, following in zip(path, [*path[1:], None], strict=True):
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
