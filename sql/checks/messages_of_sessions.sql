-- Do the messages of each session agree with the session? Grain: one row a session with a problem, of which the first is named.
-- Distinct indexes are counted as bits, those above 126 in a list: COUNT(DISTINCT) takes several times the time and memory.
WITH
found AS (
    SELECT
        session_id,
        MIN(session_created_at) AS first_created_at,
        MAX(session_created_at) AS last_created_at,
        COUNT(*) AS messages_found,
        COALESCE(BIT_COUNT(BIT_OR(CASE WHEN message_index BETWEEN 0 AND 126 THEN 1::HUGEINT << message_index END)), 0)
        + COALESCE(LEN(LIST_DISTINCT(LIST(message_index) FILTER (message_index NOT BETWEEN 0 AND 126))), 0) AS distinct_indexes,
        MIN(message_index) AS lowest_index,
        MAX(message_index) AS highest_index,
        COUNT(*) FILTER (role = 'user') AS user_messages_found,
        COUNT(*) FILTER (role IN ('assistant', 'bot')) AS assistant_messages_found,
        SUM(tool_call_count)::BIGINT AS tool_calls_of_messages,
        MAX(first_seen_at) AS last_seen_at
    FROM messages
    GROUP BY session_id
),
compared AS (
    SELECT
        COALESCE(s.session_id, f.session_id) AS session_id,
        CASE
            WHEN s.session_id IS NULL THEN 'the session is missing'
            WHEN f.first_created_at <> s.created_at OR f.last_created_at <> s.created_at THEN 'session_created_at differs'
            WHEN f.messages_found > f.distinct_indexes THEN 'a message_index is repeated'
            WHEN f.lowest_index <> 0 OR f.highest_index <> f.distinct_indexes - 1 THEN 'a message_index is missing'
            WHEN s.message_count <> COALESCE(f.messages_found, 0) THEN 'message_count differs'
            WHEN s.user_message_count <> COALESCE(f.user_messages_found, 0) THEN 'user_message_count differs'
            WHEN s.assistant_message_count <> COALESCE(f.assistant_messages_found, 0) THEN 'assistant_message_count differs'
            WHEN s.tool_call_count <> COALESCE(f.tool_calls_of_messages, 0) THEN 'tool_call_count differs'
            WHEN f.last_seen_at > s.updated_at THEN 'a message was first seen after updated_at'
        END AS problem,
        f.* EXCLUDE (session_id)
    FROM sessions AS s
    FULL JOIN found AS f ON f.session_id = s.session_id
)
SELECT * FROM compared WHERE problem IS NOT NULL ORDER BY session_id;
