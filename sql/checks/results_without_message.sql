-- Do tool results name no message, a missing one, or one before the call? Grain: one row a tool call.
SELECT t.session_id, t.message_index, t.tool_call_index, t.result_message_index
FROM tool_calls AS t
LEFT JOIN messages AS m ON m.session_id = t.session_id AND m.message_index = t.result_message_index
WHERE
    (t.result_message_index IS NULL AND t.result IS NOT NULL)
    OR (t.result_message_index IS NOT NULL AND m.session_id IS NULL)
    OR t.result_message_index <= t.message_index
ORDER BY t.session_id, t.message_index, t.tool_call_index;
