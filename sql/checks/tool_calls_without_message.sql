-- Do tool calls belong to a missing message, or to one that makes no calls? Grain: one row a tool call.
SELECT t.session_id, t.message_index, t.tool_call_index, m.tool_call_count AS calls_of_message
FROM tool_calls AS t
LEFT JOIN messages AS m ON m.session_id = t.session_id AND m.message_index = t.message_index
WHERE m.session_id IS NULL OR m.tool_call_count = 0
ORDER BY t.session_id, t.message_index, t.tool_call_index;
