-- How many sessions, customers and messages does each day have? Grain: one row a UTC day, quiet days included.
-- The days run from the first session to the last. A session counts on the day it was created. Deleted and aged-out sessions
-- count, and have columns of their own. Averages are null on days without sessions. customer_count is the number of distinct
-- values of customer_journey.customer_key.
CREATE OR REPLACE VIEW sessions_by_day AS
WITH
counted AS (
    SELECT
        CAST(created_at AT TIME ZONE 'UTC' AS DATE) AS day,
        COUNT(*) AS session_count,
        COUNT(*) FILTER (WHERE status = 'active') AS active_session_count,
        COUNT(*) FILTER (WHERE status = 'completed') AS completed_session_count,
        COUNT(*) FILTER (WHERE message_count = 0) AS empty_session_count,
        COUNT(deleted_at) AS deleted_session_count,
        COUNT(aged_out_at) AS aged_out_session_count,
        SUM(message_count)::BIGINT AS message_count,
        SUM(tool_call_count)::BIGINT AS tool_call_count,
        AVG(message_count) AS messages_per_session,
        MEDIAN(message_count) AS median_messages_per_session
    FROM sessions
    GROUP BY day
),
customers AS (
    SELECT CAST(created_at AT TIME ZONE 'UTC' AS DATE) AS day, COUNT(DISTINCT customer_key) AS customer_count
    FROM customer_journey
    GROUP BY day
),
calendar AS (
    SELECT CAST(UNNEST(GENERATE_SERIES(MIN(day), MAX(day), INTERVAL 1 DAY)) AS DATE) AS day
    FROM counted
)
SELECT
    d.day,
    COALESCE(c.session_count, 0) AS session_count,
    COALESCE(c.active_session_count, 0) AS active_session_count,
    COALESCE(c.completed_session_count, 0) AS completed_session_count,
    COALESCE(c.empty_session_count, 0) AS empty_session_count,
    COALESCE(c.deleted_session_count, 0) AS deleted_session_count,
    COALESCE(c.aged_out_session_count, 0) AS aged_out_session_count,
    COALESCE(u.customer_count, 0) AS customer_count,
    COALESCE(c.message_count, 0) AS message_count,
    COALESCE(c.tool_call_count, 0) AS tool_call_count,
    c.messages_per_session,
    c.median_messages_per_session
FROM calendar AS d
LEFT JOIN counted AS c ON c.day = d.day
LEFT JOIN customers AS u ON u.day = d.day;
