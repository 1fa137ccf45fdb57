-- What was each tool asked, what did it answer, and how fast? Grain: one row a tool call.
-- Calls of deleted and aged-out sessions are included.
-- The outcome error is a guess, because results carry no status.
-- Columns:
--   message_index: The message that makes the call.
--   tool_call_id: The call's id.
--   arguments_json: The arguments as JSON; null if the text is not JSON.
--   result_json: The result as JSON; null if the text is not JSON.
--   outcome: unanswered (no tool message answers the call), no_result (the source's placeholder "No result returned."), error
--     (the text begins with "error", or is a JSON object with a set "error"), otherwise answered.
--   called_at: The time of the message with the call: its sent_at, otherwise its first_seen_at.
--   called_at_source: sent_at or first_seen_at.
--   latency_seconds: From the message with the call to the message with the result; null unless both have a time.
--   repeated: Whether an earlier call of the session had the same function name and the same arguments. White space
--     between JSON tokens makes no difference, the order of keys does. Calls without a function name are never repeated.
CREATE OR REPLACE VIEW tool_calls_with_results AS
WITH
parsed AS (
    SELECT
        *,
        TRY_CAST(arguments AS JSON) AS arguments_json,
        TRY_CAST(result AS JSON) AS result_json,
        -- one number for the position in the session, because two would make the joins below slower
        message_index::BIGINT * 1048576 + tool_call_index AS place
    FROM tool_calls
),
firsts AS (
    SELECT session_id, session_created_at, MIN(place) AS place
    FROM parsed
    GROUP BY session_id, session_created_at, function_name, COALESCE(CAST(JSON(arguments_json) AS VARCHAR), arguments)
),
results AS (
    SELECT session_id, session_created_at, message_index, sent_at
    FROM messages
    WHERE role IN ('tool', 'tool_call_result', 'function')
)
SELECT
    t.session_id,
    t.session_created_at,
    t.message_index,
    t.tool_call_index,
    t.tool_call_id,
    t.type,
    t.function_name,
    t.arguments,
    t.arguments_json,
    t.result,
    t.result_json,
    t.result_message_index,
    CASE
        WHEN t.result_message_index IS NULL THEN 'unanswered'
        WHEN REGEXP_MATCHES(t.result, '^\s*(ok, )?no result returned\.?\s*$', 'i') THEN 'no_result'
        WHEN REGEXP_MATCHES(t.result, '^\s*"?error\b', 'i') THEN 'error'
        WHEN JSON_TYPE(t.result_json) = 'OBJECT'
            AND COALESCE(t.result_json ->> '$.error', '') NOT IN ('', 'false')
        THEN 'error'
        ELSE 'answered'
    END AS outcome,
    COALESCE(called.sent_at, called.first_seen_at) AS called_at,
    CASE WHEN called.sent_at IS NOT NULL THEN 'sent_at' WHEN called.first_seen_at IS NOT NULL THEN 'first_seen_at' END
        AS called_at_source,
    EPOCH(answered.sent_at - called.sent_at) AS latency_seconds,
    t.function_name IS NOT NULL AND f.place IS NULL AS repeated
FROM parsed AS t
LEFT JOIN firsts AS f
    ON f.session_id = t.session_id AND f.session_created_at = t.session_created_at AND f.place = t.place
LEFT JOIN messages AS called
    ON called.session_id = t.session_id
    AND called.session_created_at = t.session_created_at
    AND called.message_index = t.message_index
LEFT JOIN results AS answered
    ON answered.session_id = t.session_id
    AND answered.session_created_at = t.session_created_at
    AND answered.message_index = t.result_message_index;
