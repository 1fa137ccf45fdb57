-- Which fields have no column, or a value that their column cannot hold? Grain: one row a field.
-- :retyped means that the field has a column, and the row has a value of another type or precision.
-- role=… and type=… are values unknown to this program. A name with unusual characters is shown as ?.
-- session.$normalised.…: odd JSON that was corrected (a repeated key, half of a surrogate pair, too much depth).
-- $value: a value that is not an object, where one was expected. $unreadable: the session's JSON is in raw/ only.
-- Rows of deleted and aged-out sessions count.
-- Columns:
--   field: The field's place and name, for example message.emotion.
--   row_count: Rows with the field in extra: sessions for session.…, messages for message.…, and so on.
CREATE OR REPLACE VIEW drift AS
WITH
kept AS (
    SELECT 'session.' AS place, e.key, e.value, e.type FROM sessions AS s, LATERAL (SELECT * FROM JSON_EACH(s.extra)) AS e
    UNION ALL
    SELECT 'message.' AS place, e.key, e.value, e.type FROM messages AS m, LATERAL (SELECT * FROM JSON_EACH(m.extra)) AS e
    UNION ALL
    SELECT 'tool_call.' AS place, e.key, e.value, e.type FROM tool_calls AS t, LATERAL (SELECT * FROM JSON_EACH(t.extra)) AS e
    UNION ALL
    SELECT 'cost.' AS place, e.key, e.value, e.type FROM costs AS c, LATERAL (SELECT * FROM JSON_EACH(c.extra)) AS e
),
-- For an object whose members have columns, extra holds the remaining members under the name of the object.
inner_names AS (
    SELECT
        k.*,
        k.type = 'OBJECT'
        AND k.place || k.key IN ('session.customer', 'session.$normalised', 'tool_call.function', 'cost.model') AS has_inner
    FROM kept AS k
),
fields AS (
    SELECT place, key, type FROM inner_names WHERE NOT has_inner
    UNION ALL
    SELECT k.place || k.key || '.' AS place, e.key, e.type
    FROM inner_names AS k, LATERAL (SELECT * FROM JSON_EACH(k.value)) AS e
    WHERE k.has_inner
),
named AS (
    SELECT place, REPLACE(key, '$$', '$') AS name FROM fields
    -- our own entries, which say how to read a column
    WHERE key <> '$keys' AND NOT (key = 'arguments$json' AND type = 'BOOLEAN')
),
found AS (
    SELECT
        place || CASE WHEN REGEXP_FULL_MATCH(name, '[A-Za-z0-9_$-]{1,64}') THEN name ELSE '?' END
        || CASE
            WHEN place || name IN (
                'session.id', 'session.orgId', 'session.createdAt', 'session.updatedAt', 'session.name', 'session.status',
                'session.expirationSeconds', 'session.assistantId', 'session.squadId', 'session.customerId',
                'session.customer', 'session.phoneNumberId', 'session.cost', 'session.costs', 'session.messages',
                'session.artifact', 'session.metadata', 'session.customer.name', 'session.customer.number',
                'session.customer.email', 'session.customer.sipUri', 'session.customer.externalId',
                'message.role', 'message.content', 'message.message', 'message.name', 'message.refusal', 'message.time',
                'message.endTime', 'message.secondsFromStart', 'message.duration', 'message.confidence', 'message.metadata',
                'message.tool_calls', 'message.toolCalls', 'message.tool_call_id', 'message.toolCallId',
                'tool_call.id', 'tool_call.type', 'tool_call.function', 'tool_call.function.name',
                'tool_call.function.arguments', 'cost.type', 'cost.analysisType', 'cost.model', 'cost.model.provider',
                'cost.model.model', 'cost.promptTokens', 'cost.completionTokens', 'cost.cachedPromptTokens',
                'cost.reasoningTokens', 'cost.seconds', 'cost.usageComplete', 'cost.cost'
            ) THEN ':retyped'
            ELSE ''
        END AS field
    FROM named
    UNION ALL
    SELECT 'message.role=' || CASE WHEN REGEXP_FULL_MATCH(role, '[A-Za-z0-9_$-]{1,64}') THEN role ELSE '?' END AS field
    FROM messages
    WHERE role NOT IN (
        'system', 'user', 'assistant', 'bot', 'tool', 'developer', 'tool_calls', 'tool_call_result', 'function'
    )
    UNION ALL
    SELECT 'cost.type=' || CASE WHEN REGEXP_FULL_MATCH(type, '[A-Za-z0-9_$-]{1,64}') THEN type ELSE '?' END AS field
    FROM costs
    WHERE type NOT IN ('model', 'analysis', 'session')
    UNION ALL
    SELECT 'message.content:retyped' AS field
    FROM messages
    WHERE content_json IS NOT NULL AND JSON_TYPE(content_json) <> 'ARRAY'
)
SELECT field, COUNT(*) AS row_count
FROM found
GROUP BY field;
