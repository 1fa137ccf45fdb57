-- Is a message missing at the start or in the middle of a conversation? Grain: one row a session with a gap.
-- Lists count the distinct indexes, because COUNT(DISTINCT) takes several times the memory.
SELECT
    session_id,
    LEN(LIST_DISTINCT(LIST(message_index))) AS distinct_indexes,
    MIN(message_index) AS lowest_index,
    MAX(message_index) AS highest_index
FROM messages
GROUP BY session_id
HAVING MIN(message_index) <> 0 OR MAX(message_index) <> LEN(LIST_DISTINCT(LIST(message_index))) - 1
ORDER BY session_id;
