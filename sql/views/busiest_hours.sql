-- When are we busiest? Grain: one row a weekday and hour, all 168 of them, quiet ones included.
-- A session counts in the hour in which it was created. Deleted and aged-out sessions count.
-- Columns:
--   weekday: 1 (Monday) to 7 (Sunday).
--   weekday_name: Monday to Sunday.
--   hour: The hour of the day, 0 to 23.
--   session_count: Sessions created in that hour of such a weekday.
--   message_count: Messages of these sessions, whenever they were sent.
--   sessions_per_day: session_count / number of such weekdays between the first and the last day; null if there is none.
--   share: session_count / all sessions.
CREATE OR REPLACE VIEW busiest_hours AS
WITH
counted AS (
    SELECT weekday, hour, COUNT(*) AS session_count, SUM(message_count)::BIGINT AS message_count
    FROM session_facts
    GROUP BY weekday, hour
),
period AS (
    SELECT MIN(day) AS first_day, MAX(day) AS last_day, COUNT(*) AS session_count
    FROM session_facts
),
weekdays AS (
    SELECT ISODOW(day) AS weekday, COUNT(*) AS day_count
    FROM (SELECT UNNEST(GENERATE_SERIES(first_day, last_day, INTERVAL 1 DAY)) AS day FROM period)
    GROUP BY weekday
),
slots AS (
    SELECT w.range AS weekday, h.range AS hour
    FROM RANGE(1, 8) AS w
    CROSS JOIN RANGE(24) AS h
)
SELECT
    s.weekday,
    (['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'])[s.weekday] AS weekday_name,
    s.hour,
    COALESCE(c.session_count, 0) AS session_count,
    COALESCE(c.message_count, 0) AS message_count,
    ROUND(COALESCE(c.session_count, 0) / d.day_count, 6) AS sessions_per_day,
    ROUND(COALESCE(c.session_count, 0) / p.session_count, 6) AS share
FROM slots AS s
CROSS JOIN period AS p
LEFT JOIN counted AS c ON c.weekday = s.weekday AND c.hour = s.hour
LEFT JOIN weekdays AS d ON d.weekday = s.weekday
WHERE p.session_count > 0;
