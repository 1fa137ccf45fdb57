-- Does a child row have another creation time than its session? Grain: one row a table, session and time.
-- Readers and merges that prune by creation time would miss such rows.
WITH
children AS (
    SELECT 'messages' AS table_name, session_id, session_created_at FROM messages
    UNION ALL
    SELECT 'tool_calls', session_id, session_created_at FROM tool_calls
    UNION ALL
    SELECT 'costs', session_id, session_created_at FROM costs
    UNION ALL
    SELECT 'structured_outputs', session_id, session_created_at FROM structured_outputs
)
SELECT c.table_name, c.session_id, c.session_created_at, s.created_at, COUNT(*) AS row_count
FROM children AS c
JOIN sessions AS s ON s.session_id = c.session_id
WHERE c.session_created_at <> s.created_at
GROUP BY c.table_name, c.session_id, c.session_created_at, s.created_at
ORDER BY c.table_name, c.session_id, c.session_created_at;
