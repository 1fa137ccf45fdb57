-- How many sessions, customers and messages does each day have? Grain: one row a day, quiet days included.
-- The days run from the first session to the last. A session counts on the day it was created. Deleted and aged-out sessions
-- count, and have columns of their own. Averages are null on days without sessions.
-- Columns:
--   day: The day on which the sessions were created.
--   session_count: Sessions created on that day.
--   active_session_count: Those with status active, without the expired ones.
--   completed_session_count: Those with status completed.
--   expired_session_count: Those that expired without being completed, as in session_facts.
--   empty_session_count: Those without a message.
--   deleted_session_count: Those that the source has deleted since.
--   aged_out_session_count: Those that the source no longer lists, by retention.
--   customer_count: Distinct values of customer_journey.customer_key among the sessions of the day.
--   message_count: Messages of all roles in these sessions.
--   tool_call_count: Tool calls in these sessions.
--   messages_per_session: Average of message_count.
--   median_messages_per_session: Median of message_count.
CREATE OR REPLACE VIEW sessions_by_day AS
WITH
counted AS (
    SELECT
        day,
        COUNT(*) AS session_count,
        COUNT(*) FILTER (WHERE status = 'active' AND outcome <> 'expired') AS active_session_count,
        COUNT(*) FILTER (WHERE outcome = 'completed') AS completed_session_count,
        COUNT(*) FILTER (WHERE outcome = 'expired') AS expired_session_count,
        COUNT(*) FILTER (WHERE message_count = 0) AS empty_session_count,
        COUNT(deleted_at) AS deleted_session_count,
        COUNT(aged_out_at) AS aged_out_session_count,
        CAST(SUM(message_count) AS BIGINT) AS message_count,
        CAST(SUM(tool_call_count) AS BIGINT) AS tool_call_count,
        ROUND(AVG(message_count), 6) AS messages_per_session,
        MEDIAN(message_count) AS median_messages_per_session
    FROM session_facts
    GROUP BY day
),
customers_of_day AS (
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
    COALESCE(c.expired_session_count, 0) AS expired_session_count,
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
LEFT JOIN customers_of_day AS u ON u.day = d.day;
