-- What was said in a session, by whom, and when? Grain: one row a message.
-- To read a session: ORDER BY session_id, message_index. Messages of deleted and aged-out sessions are included.
-- Sort on message_index, not on message_at: messages observed together have the same message_at.
-- Columns:
--   message_index: Position in the conversation, from 0.
--   speaker: customer, assistant, tool or system; an unknown role is shown as received.
--   speaker_name: Name of the participant; in a squad, of the assistant that spoke.
--   text: The content, or the refusal; for a tool result of a call, which has no content, the result.
--   tools_called: Functions that this message calls.
--   answers_tools: Functions whose calls this message answers.
--   message_at: sent_at if the message has one; otherwise first_seen_at, the session's updatedAt when the message was first
--     observed, which is at or after the time of sending.
--   message_at_source: sent_at or first_seen_at: which of the two message_at is.
CREATE OR REPLACE VIEW transcript AS
WITH
calls AS (
    SELECT
        session_id,
        session_created_at,
        message_index,
        LIST(COALESCE(function_name, '(unnamed)') ORDER BY tool_call_index) AS tools_called
    FROM tool_calls
    GROUP BY session_id, session_created_at, message_index
),
answers AS (
    SELECT
        session_id,
        session_created_at,
        result_message_index,
        LIST(COALESCE(function_name, '(unnamed)') ORDER BY message_index, tool_call_index) AS answers_tools
    FROM tool_calls
    WHERE result_message_index IS NOT NULL
    GROUP BY session_id, session_created_at, result_message_index
)
SELECT
    m.session_id,
    m.session_created_at,
    m.message_index,
    m.role,
    CASE
        WHEN m.role = 'user' THEN 'customer'
        WHEN m.role IN ('assistant', 'bot', 'tool_calls') THEN 'assistant'
        WHEN m.role IN ('tool', 'tool_call_result', 'function') THEN 'tool'
        WHEN m.role IN ('system', 'developer') THEN 'system'
        ELSE m.role
    END AS speaker,
    COALESCE(m.name, m.extra ->> '$.assistantName', m.extra ->> '$.speakerLabel') AS speaker_name,
    COALESCE(m.content, m.refusal, CASE WHEN m.role = 'tool_call_result' THEN m.extra ->> '$.result' END) AS text,
    COALESCE(c.tools_called, []) AS tools_called,
    COALESCE(a.answers_tools, []) AS answers_tools,
    COALESCE(m.sent_at, m.first_seen_at) AS message_at,
    CASE WHEN m.sent_at IS NULL THEN 'first_seen_at' ELSE 'sent_at' END AS message_at_source,
    m.seconds_from_start
FROM messages AS m
LEFT JOIN calls AS c
    ON c.session_id = m.session_id AND c.session_created_at = m.session_created_at AND c.message_index = m.message_index
LEFT JOIN answers AS a
    ON a.session_id = m.session_id
    AND a.session_created_at = m.session_created_at
    AND a.result_message_index = m.message_index;
