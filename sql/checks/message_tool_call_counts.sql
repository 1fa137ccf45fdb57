-- Does a message's tool call count differ from its tool calls? Grain: one row a message that differs.
WITH
call_counts AS (
    SELECT session_id, message_index, COUNT(*) AS found
    FROM tool_calls
    GROUP BY session_id, message_index
)
SELECT m.session_id, m.message_index, m.tool_call_count AS declared, COALESCE(c.found, 0) AS found
FROM messages AS m
LEFT JOIN call_counts AS c ON c.session_id = m.session_id AND c.message_index = m.message_index
WHERE m.tool_call_count <> COALESCE(c.found, 0)
ORDER BY m.session_id, m.message_index;
