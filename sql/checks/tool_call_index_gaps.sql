-- Is a tool call of a message missing? Grain: one row a message with a gap.
SELECT
    session_id,
    message_index,
    COUNT(DISTINCT tool_call_index) AS distinct_indexes,
    MIN(tool_call_index) AS lowest_index,
    MAX(tool_call_index) AS highest_index
FROM tool_calls
GROUP BY session_id, message_index
HAVING MIN(tool_call_index) <> 0 OR MAX(tool_call_index) <> COUNT(DISTINCT tool_call_index) - 1
ORDER BY session_id, message_index;
