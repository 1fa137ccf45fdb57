-- What does a completed conversation cost, day by day? Grain: one row a day on which completed sessions were created.
-- Deleted and aged-out sessions count, because they were billed. Sessions without a price are left out of the amounts.
-- Columns:
--   day: The day on which the sessions were created.
--   completed_session_count: Sessions of that day that are completed by now.
--   priced_session_count: Those of them that have a price, zero included.
--   mean_cost_usd: Average over these; null if none has a price.
--   median_cost_usd: Half of them cost at most this.
--   p90_cost_usd: Nine of ten cost at most this (interpolated).
CREATE OR REPLACE VIEW completed_cost_by_day AS
SELECT
    day,
    COUNT(*) AS completed_session_count,
    COUNT(cost_usd) AS priced_session_count,
    -- a sum depends on the order of rows in its last bits: rounded first, so that the average does not
    ROUND(ROUND(FSUM(cost_usd), 9) / COUNT(cost_usd), 6) AS mean_cost_usd,
    ROUND(MEDIAN(cost_usd), 6) AS median_cost_usd,
    ROUND(QUANTILE_CONT(cost_usd, 0.9), 6) AS p90_cost_usd
FROM session_facts
WHERE outcome = 'completed'
GROUP BY day;
