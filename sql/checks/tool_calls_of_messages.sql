-- Do the tool calls of each message agree with the message? Grain: one row a message with a problem, of which the first is named.
-- Distinct indexes are counted as in messages_of_sessions.
WITH
found AS (
    SELECT
        session_id,
        message_index,
        MIN(session_created_at) AS first_created_at,
        MAX(session_created_at) AS last_created_at,
        COUNT(*) AS calls_found,
        COALESCE(BIT_COUNT(BIT_OR(CASE WHEN tool_call_index BETWEEN 0 AND 126 THEN 1::HUGEINT << tool_call_index END)), 0)
        + COALESCE(LEN(LIST_DISTINCT(LIST(tool_call_index) FILTER (tool_call_index NOT BETWEEN 0 AND 126))), 0) AS distinct_indexes,
        MIN(tool_call_index) AS lowest_index,
        MAX(tool_call_index) AS highest_index,
        MIN(result_message_index) AS first_result_index,
        MAX(result_message_index) AS last_result_index,
        COUNT(*) FILTER (result IS NOT NULL AND result_message_index IS NULL) AS results_without_index
    FROM tool_calls
    GROUP BY session_id, message_index
),
compared AS (
    SELECT
        COALESCE(m.session_id, f.session_id) AS session_id,
        COALESCE(m.message_index, f.message_index) AS message_index,
        CASE
            WHEN m.session_id IS NULL THEN 'the message is missing or makes no calls'
            WHEN f.session_id IS NULL THEN 'the calls are missing'
            WHEN f.first_created_at <> s.created_at OR f.last_created_at <> s.created_at THEN 'session_created_at differs'
            WHEN f.calls_found > f.distinct_indexes THEN 'a tool_call_index is repeated'
            WHEN f.lowest_index <> 0 OR f.highest_index <> f.distinct_indexes - 1 THEN 'a tool_call_index is missing'
            WHEN m.tool_call_count <> f.calls_found THEN 'tool_call_count differs'
            WHEN f.results_without_index > 0 THEN 'a result has no result_message_index'
            WHEN f.first_result_index <= m.message_index THEN 'a result is not after its call'
            WHEN f.last_result_index >= s.message_count THEN 'the message of a result is missing'
        END AS problem,
        m.tool_call_count,
        f.* EXCLUDE (session_id, message_index)
    FROM (SELECT session_id, message_index, tool_call_count FROM messages WHERE tool_call_count <> 0) AS m
    FULL JOIN found AS f ON f.session_id = m.session_id AND f.message_index = m.message_index
    LEFT JOIN sessions AS s ON s.session_id = f.session_id
)
SELECT * FROM compared WHERE problem IS NOT NULL ORDER BY session_id, message_index;
