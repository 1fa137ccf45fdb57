-- How did the sessions of each day end? Grain: one row a day on which sessions were created.
-- A session counts on the day it was created, with the outcome that session_facts gives it now: on recent days many are open.
-- Deleted and aged-out sessions count, because they took place.
-- Columns:
--   day: The day on which the sessions were created.
--   session_count: Sessions created on that day.
--   completed_session_count: Those that are completed.
--   expired_session_count: Those that expired without being completed.
--   open_session_count: All others.
--   completed_share: completed sessions as a share of completed and expired ones; null if there are none of both.
CREATE OR REPLACE VIEW outcomes_by_day AS
SELECT
    day,
    COUNT(*) AS session_count,
    COUNT(*) FILTER (WHERE outcome = 'completed') AS completed_session_count,
    COUNT(*) FILTER (WHERE outcome = 'expired') AS expired_session_count,
    COUNT(*) FILTER (WHERE outcome = 'open') AS open_session_count,
    ROUND(AVG(CASE outcome WHEN 'completed' THEN 1 WHEN 'expired' THEN 0 END), 6) AS completed_share
FROM session_facts
GROUP BY day;
