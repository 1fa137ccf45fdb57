-- What is known about each session, cheaply? Grain: one row a session.
-- Columns:
--   day: the day on which the session was created.
--   weekday: 1 (Monday) to 7.
--   hour: 0 to 23.
--   outcome: completed, expired or open.
--   assistant: latest known name of the assistant id; otherwise the session's own name for it; otherwise the id.
CREATE OR REPLACE VIEW session_facts AS
WITH
named AS (
    SELECT assistant_id, ARG_MAX(assistant_name, (created_at, session_id)) AS latest_name
    FROM sessions
    WHERE assistant_id IS NOT NULL AND assistant_name IS NOT NULL
    GROUP BY assistant_id
)
SELECT
    s.session_id,
    s.created_at,
    s.updated_at,
    CAST(s.created_at AT TIME ZONE 'UTC' AS DATE) AS day,
    ISODOW(s.created_at AT TIME ZONE 'UTC') AS weekday,
    HOUR(s.created_at AT TIME ZONE 'UTC') AS hour,
    CASE
        WHEN s.status = 'completed' THEN 'completed'
        WHEN s.expires_at <= (SELECT complete_until FROM freshness) AND s.updated_at <= s.expires_at THEN 'expired'
        ELSE 'open'
    END AS outcome,
    COALESCE(n.latest_name, s.assistant_name, s.assistant_id) AS assistant,
    s.assistant_id,
    s.model_provider,
    s.model_name,
    s.status,
    s.cost_usd,
    s.message_count,
    s.user_message_count,
    s.assistant_message_count,
    s.tool_call_count,
    s.expires_at,
    s.deleted_at,
    s.aged_out_at
FROM sessions AS s
LEFT JOIN named AS n ON n.assistant_id = s.assistant_id;
