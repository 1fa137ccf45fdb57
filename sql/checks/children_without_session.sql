-- Are there messages, tool calls, costs or outputs without a session? Grain: one row a table and session.
WITH
children AS (
    SELECT 'messages' AS table_name, session_id FROM messages
    UNION ALL
    SELECT 'tool_calls', session_id FROM tool_calls
    UNION ALL
    SELECT 'costs', session_id FROM costs
    UNION ALL
    SELECT 'structured_outputs', session_id FROM structured_outputs
)
SELECT table_name, session_id, COUNT(*) AS row_count
FROM children AS c
WHERE NOT EXISTS (SELECT 1 FROM sessions AS s WHERE s.session_id = c.session_id)
GROUP BY table_name, session_id
ORDER BY table_name, session_id;
