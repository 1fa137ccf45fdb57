-- What does each assistant cost, in total and per completed conversation? Grain: one row an assistant.
-- An assistant is an assistant id, whatever it was called; without an id, a name. Two ids with the same name are two rows.
-- Sessions without both make one row with both null. Deleted and aged-out sessions count, because they were billed.
-- Pending is not zero: a session without a price is in pending_session_count, one that cost nothing in zero_cost_session_count.
-- Columns:
--   session_count: Sessions of the assistant.
--   priced_session_count: Sessions that have a price, zero included.
--   pending_session_count: Sessions without a price yet.
--   zero_cost_session_count: Sessions whose price is zero.
--   cost_usd: Sum over sessions that have a price; null, not zero, if none has.
--   cost_per_priced_session_usd: Average over these sessions.
--   median_cost_usd: Half of these sessions cost at most this.
--   p90_cost_usd: Nine of ten of these sessions cost at most this (interpolated).
--   completed_session_count: completed sessions.
--   cost_per_completed_session_usd: cost_usd / completed_session_count, so that sessions without success are paid for as well.
--   model_cost_usd: Sum over cost components of type model.
--   analysis_cost_usd: Sum over cost components of type analysis.
--   understated_session_count: Sessions with a component whose usage_complete is false; they may cost more than cost_usd says.
--   first_day: The day of the first session.
--   last_day: The day of the last session.
CREATE OR REPLACE VIEW cost_by_assistant AS
WITH
components AS (
    SELECT
        session_id,
        session_created_at,
        FSUM(cost_usd) FILTER (WHERE type = 'model') AS model_cost_usd,
        FSUM(cost_usd) FILTER (WHERE type = 'analysis') AS analysis_cost_usd,
        COALESCE(BOOL_OR(NOT usage_complete), FALSE) AS understated
    FROM costs
    GROUP BY session_id, session_created_at
)
SELECT
    s.assistant,
    s.assistant_id,
    COUNT(*) AS session_count,
    COUNT(s.cost_usd) AS priced_session_count,
    COUNT(*) FILTER (WHERE s.cost_usd IS NULL) AS pending_session_count,
    COUNT(*) FILTER (WHERE s.cost_usd = 0) AS zero_cost_session_count,
    ROUND(FSUM(s.cost_usd), 6) AS cost_usd,
    -- a sum depends on the order of rows in its last bits: rounded first, so that the average does not
    ROUND(ROUND(FSUM(s.cost_usd), 9) / COUNT(s.cost_usd), 6) AS cost_per_priced_session_usd,
    ROUND(MEDIAN(s.cost_usd), 6) AS median_cost_usd,
    ROUND(QUANTILE_CONT(s.cost_usd, 0.9), 6) AS p90_cost_usd,
    COUNT(*) FILTER (WHERE s.outcome = 'completed') AS completed_session_count,
    ROUND(ROUND(FSUM(s.cost_usd), 9) / NULLIF(COUNT(*) FILTER (WHERE s.outcome = 'completed'), 0), 6)
        AS cost_per_completed_session_usd,
    ROUND(FSUM(c.model_cost_usd), 6) AS model_cost_usd,
    ROUND(FSUM(c.analysis_cost_usd), 6) AS analysis_cost_usd,
    COUNT(*) FILTER (WHERE c.understated) AS understated_session_count,
    MIN(s.day) AS first_day,
    MAX(s.day) AS last_day
FROM session_facts AS s
LEFT JOIN components AS c ON c.session_id = s.session_id AND c.session_created_at = s.created_at
GROUP BY s.assistant, s.assistant_id;
