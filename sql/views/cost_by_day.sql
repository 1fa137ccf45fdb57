-- What did the sessions of each day cost? Grain: one row a day on which sessions were created.
-- A cost counts on the day its session was created: the source gives no billing date.
-- Deleted and aged-out sessions count, because they were billed.
-- Pending is not zero: a session without a price is in pending_session_count, one that cost nothing in zero_cost_session_count.
-- Columns:
--   day: The day on which the sessions were created.
--   session_count: Sessions created on that day.
--   priced_session_count: Sessions that have a price, zero included.
--   pending_session_count: Sessions without a price yet.
--   zero_cost_session_count: Sessions whose price is zero.
--   deleted_session_count: Sessions that the source has deleted since.
--   cost_usd: Sum over sessions that have a price; null, not zero, if none has.
--   cost_per_priced_session_usd: Average over these sessions.
--   component_cost_usd: Sum over cost components. It can differ from cost_usd at the source.
--   pending_component_count: Components without a price yet.
--   model_cost_usd: Sum over components of type model.
--   analysis_cost_usd: Sum over components of type analysis.
--   session_fee_usd: Sum over components of type session.
--   understated_session_count: Sessions with a component whose usage_complete is false; they may cost more than cost_usd says.
CREATE OR REPLACE VIEW cost_by_day AS
WITH
session_costs AS (
    SELECT
        CAST(created_at AT TIME ZONE 'UTC' AS DATE) AS day,
        COUNT(*) AS session_count,
        COUNT(cost_usd) AS priced_session_count,
        COUNT(*) FILTER (WHERE cost_usd IS NULL) AS pending_session_count,
        COUNT(*) FILTER (WHERE cost_usd = 0) AS zero_cost_session_count,
        COUNT(deleted_at) AS deleted_session_count,
        ROUND(FSUM(cost_usd), 6) AS cost_usd,
        -- a sum depends on the order of rows in its last bits: rounded first, so that the average does not
        ROUND(ROUND(FSUM(cost_usd), 9) / COUNT(cost_usd), 6) AS cost_per_priced_session_usd
    FROM sessions
    GROUP BY day
),
component_costs AS (
    SELECT
        CAST(session_created_at AT TIME ZONE 'UTC' AS DATE) AS day,
        ROUND(FSUM(cost_usd), 6) AS component_cost_usd,
        COUNT(*) FILTER (WHERE cost_usd IS NULL) AS pending_component_count,
        ROUND(FSUM(cost_usd) FILTER (WHERE type = 'model'), 6) AS model_cost_usd,
        ROUND(FSUM(cost_usd) FILTER (WHERE type = 'analysis'), 6) AS analysis_cost_usd,
        ROUND(FSUM(cost_usd) FILTER (WHERE type = 'session'), 6) AS session_fee_usd,
        COUNT(DISTINCT session_id) FILTER (WHERE NOT usage_complete) AS understated_session_count
    FROM costs
    GROUP BY day
)
SELECT
    s.day,
    s.session_count,
    s.priced_session_count,
    s.pending_session_count,
    s.zero_cost_session_count,
    s.deleted_session_count,
    s.cost_usd,
    s.cost_per_priced_session_usd,
    c.component_cost_usd,
    COALESCE(c.pending_component_count, 0) AS pending_component_count,
    c.model_cost_usd,
    c.analysis_cost_usd,
    c.session_fee_usd,
    COALESCE(c.understated_session_count, 0) AS understated_session_count
FROM session_costs AS s
LEFT JOIN component_costs AS c ON c.day = s.day;
