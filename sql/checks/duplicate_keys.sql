-- Does a table hold two rows with the same key? Grain: one row a table and repeated key.
-- Lists find the sessions with a repeated key first, because grouping by key takes a gigabyte for five million messages.
WITH
repeating AS (
    SELECT 'sessions' AS table_name, session_id FROM sessions GROUP BY session_id HAVING COUNT(*) > 1
    UNION ALL
    SELECT 'messages', session_id FROM messages
    GROUP BY session_id HAVING COUNT(*) > LEN(LIST_DISTINCT(LIST(message_index)))
    UNION ALL
    SELECT 'tool_calls', session_id FROM tool_calls
    GROUP BY session_id HAVING COUNT(*) > LEN(LIST_DISTINCT(LIST((message_index, tool_call_index))))
    UNION ALL
    SELECT 'costs', session_id FROM costs
    GROUP BY session_id HAVING COUNT(*) > LEN(LIST_DISTINCT(LIST(cost_index)))
    UNION ALL
    SELECT 'structured_outputs', session_id FROM structured_outputs
    GROUP BY session_id HAVING COUNT(*) > LEN(LIST_DISTINCT(LIST(structured_output_id)))
),
table_keys AS (
    SELECT 'sessions' AS table_name, session_id, NULL AS rest_of_key FROM sessions
    UNION ALL
    SELECT 'messages', session_id, message_index::VARCHAR FROM messages
    UNION ALL
    SELECT 'tool_calls', session_id, message_index || '/' || tool_call_index FROM tool_calls
    UNION ALL
    SELECT 'costs', session_id, cost_index::VARCHAR FROM costs
    UNION ALL
    SELECT 'structured_outputs', session_id, structured_output_id FROM structured_outputs
)
SELECT table_name, session_id, rest_of_key, COUNT(*) AS row_count
FROM table_keys
SEMI JOIN repeating USING (table_name, session_id)
GROUP BY table_name, session_id, rest_of_key
HAVING COUNT(*) > 1
ORDER BY table_name, session_id, rest_of_key;
