-- What did the sessions of each day cost? Grain: one row a UTC day on which sessions were created.
-- A cost counts on the day its session was created: the source gives no billing date.
-- Deleted and aged-out sessions count, because they were billed.
-- cost_usd is the sum over sessions that have a price; null, not zero, if none has. pending_session_count is the number of
-- sessions without a price yet. component_cost_usd is the sum over cost components; the two sums can differ at the source.
CREATE OR REPLACE VIEW cost_by_day AS
WITH
session_costs AS (
    SELECT
        CAST(created_at AT TIME ZONE 'UTC' AS DATE) AS day,
        COUNT(*) AS session_count,
        COUNT(cost_usd) AS priced_session_count,
        COUNT(*) FILTER (WHERE cost_usd IS NULL) AS pending_session_count,
        COUNT(deleted_at) AS deleted_session_count,
        SUM(cost_usd) AS cost_usd,
        AVG(cost_usd) AS cost_per_priced_session_usd
    FROM sessions
    GROUP BY day
),
component_costs AS (
    SELECT
        CAST(session_created_at AT TIME ZONE 'UTC' AS DATE) AS day,
        SUM(cost_usd) AS component_cost_usd,
        COUNT(*) FILTER (WHERE cost_usd IS NULL) AS pending_component_count
    FROM costs
    GROUP BY day
)
SELECT
    s.day,
    s.session_count,
    s.priced_session_count,
    s.pending_session_count,
    s.deleted_session_count,
    s.cost_usd,
    s.cost_per_priced_session_usd,
    c.component_cost_usd,
    COALESCE(c.pending_component_count, 0) AS pending_component_count
FROM session_costs AS s
LEFT JOIN component_costs AS c ON c.day = s.day;
