-- Do the counts of a session differ from its messages and tool calls? Grain: one row a session that differs.
WITH
message_counts AS (
    SELECT
        session_id,
        COUNT(*) AS messages,
        COUNT(*) FILTER (WHERE role = 'user') AS user_messages,
        COUNT(*) FILTER (WHERE role IN ('assistant', 'bot')) AS assistant_messages
    FROM messages
    GROUP BY session_id
),
call_counts AS (
    SELECT session_id, COUNT(*) AS tool_calls
    FROM tool_calls
    GROUP BY session_id
),
compared AS (
    SELECT
        s.session_id,
        s.message_count,
        COALESCE(m.messages, 0) AS messages_found,
        s.user_message_count,
        COALESCE(m.user_messages, 0) AS user_messages_found,
        s.assistant_message_count,
        COALESCE(m.assistant_messages, 0) AS assistant_messages_found,
        s.tool_call_count,
        COALESCE(c.tool_calls, 0) AS tool_calls_found
    FROM sessions AS s
    LEFT JOIN message_counts AS m ON m.session_id = s.session_id
    LEFT JOIN call_counts AS c ON c.session_id = s.session_id
)
SELECT *
FROM compared
WHERE
    message_count <> messages_found
    OR user_message_count <> user_messages_found
    OR assistant_message_count <> assistant_messages_found
    OR tool_call_count <> tool_calls_found
ORDER BY session_id;
