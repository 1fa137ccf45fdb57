-- Is a session there more than once? Grain: one row a repeated session.
SELECT session_id, COUNT(*) AS row_count
FROM sessions
GROUP BY session_id
HAVING COUNT(*) > 1
ORDER BY session_id;
