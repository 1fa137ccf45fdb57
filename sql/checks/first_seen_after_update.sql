-- Was a message first seen in a newer state than its session shows? Grain: one row a message.
-- first_seen_at is an updatedAt of the session: if it is after updated_at, the session went backwards.
SELECT m.session_id, m.message_index, m.first_seen_at, s.updated_at
FROM messages AS m
JOIN sessions AS s ON s.session_id = m.session_id
WHERE m.first_seen_at > s.updated_at
ORDER BY m.session_id, m.message_index;
