-- How do groups of sessions compare: completion, cost, length, CSAT? Grain: one row an assistant, or a model.
-- Behind assistant_comparison and model_comparison. Each session counts twice: for its assistant, and for its model.
-- Intervals are 95 %: where the true value plausibly is. If two rows' intervals overlap, their difference may be chance.
-- CSAT: outputs named CSAT, in upper or lower case, whose result is a number; numbers in quotes or in objects do not count.
-- Deleted and aged-out sessions count. Sessions without a price are left out of the costs.
-- Columns:
--   kind: assistant, or model. Columns that identify the other kind are null.
--   session_count: Sessions.
--   ended_session_count: completed and expired sessions.
--   completed_share: completed sessions / ended sessions; null if none has ended.
--   completed_share_low: Lower end of its interval (Wilson).
--   completed_share_high: Upper end of its interval.
--   priced_session_count: Sessions that have a price, zero included.
--   mean_cost_usd: Average over the sessions that have a price.
--   mean_cost_low_usd: Lower end of its interval (normal), at least 0; null below two values.
--   mean_cost_high_usd: Upper end of its interval.
--   mean_message_count: Average number of messages.
--   mean_message_count_low: Lower end of its interval (normal), at least 0; null below two values.
--   mean_message_count_high: Upper end of its interval.
--   csat_count: CSAT answers.
--   mean_csat: Average of these answers.
--   mean_csat_low: Lower end of its interval (normal); null below two values.
--   mean_csat_high: Upper end of its interval.
CREATE OR REPLACE VIEW comparisons AS
WITH
grouped AS (
    SELECT
        'assistant' AS kind, assistant, assistant_id, NULL AS model_provider, NULL AS model_name,
        session_id, created_at, outcome, cost_usd, message_count
    FROM session_facts
    UNION ALL
    SELECT
        'model' AS kind, NULL AS assistant, NULL AS assistant_id, model_provider, model_name,
        session_id, created_at, outcome, cost_usd, message_count
    FROM session_facts
),
measured AS (
    SELECT
        kind, assistant, assistant_id, model_provider, model_name,
        COUNT(*) AS session_count,
        COUNT(*) FILTER (WHERE outcome IN ('completed', 'expired')) AS ended_session_count,
        COUNT(*) FILTER (WHERE outcome = 'completed') AS completed_session_count,
        COUNT(cost_usd) AS priced_session_count,
        -- a sum depends on the order of rows in its last bits: rounded first, so that the average does not
        ROUND(FSUM(cost_usd), 9) / COUNT(cost_usd) AS mean_cost_usd,
        1.959964 * STDDEV_SAMP(cost_usd) / SQRT(COUNT(cost_usd)) AS cost_margin,
        AVG(message_count) AS mean_message_count,
        1.959964 * STDDEV_SAMP(message_count) / SQRT(COUNT(*)) AS message_margin
    FROM grouped
    GROUP BY kind, assistant, assistant_id, model_provider, model_name
),
-- Wilson: the interval is around a centre between the share and a half; the fewer sessions, the nearer to a half.
shares AS (
    SELECT
        *,
        completed_session_count / NULLIF(ended_session_count, 0) AS share,
        POW(1.959964, 2) / NULLIF(ended_session_count, 0) AS z2n
    FROM measured
),
wilson AS (
    SELECT
        *,
        (share + z2n / 2) / (1 + z2n) AS centre,
        SQRT(z2n * (share * (1 - share) + z2n / 4)) / (1 + z2n) AS margin
    FROM shares
),
answers AS (
    SELECT session_id, session_created_at, TRY_CAST(CAST(result AS VARCHAR) AS DOUBLE) AS csat
    FROM structured_outputs
    WHERE LOWER(TRIM(name)) = 'csat' AND JSON_TYPE(result) IN ('UBIGINT', 'BIGINT', 'DOUBLE')
),
csat AS (
    SELECT
        kind, assistant, assistant_id, model_provider, model_name,
        COUNT(*) AS csat_count,
        ROUND(FSUM(a.csat), 9) / COUNT(a.csat) AS mean_csat,
        1.959964 * STDDEV_SAMP(a.csat) / SQRT(COUNT(*)) AS csat_margin
    FROM answers AS a
    JOIN grouped AS s ON s.session_id = a.session_id AND s.created_at = a.session_created_at
    GROUP BY kind, assistant, assistant_id, model_provider, model_name
)
SELECT
    m.kind,
    m.assistant,
    m.assistant_id,
    m.model_provider,
    m.model_name,
    m.session_count,
    m.ended_session_count,
    ROUND(m.share, 6) AS completed_share,
    ROUND(m.centre - m.margin, 6) AS completed_share_low,
    ROUND(m.centre + m.margin, 6) AS completed_share_high,
    m.priced_session_count,
    ROUND(m.mean_cost_usd, 6) AS mean_cost_usd,
    CASE WHEN m.priced_session_count > 1 THEN ROUND(GREATEST(m.mean_cost_usd - m.cost_margin, 0), 6) END
        AS mean_cost_low_usd,
    ROUND(m.mean_cost_usd + m.cost_margin, 6) AS mean_cost_high_usd,
    ROUND(m.mean_message_count, 6) AS mean_message_count,
    CASE WHEN m.session_count > 1 THEN ROUND(GREATEST(m.mean_message_count - m.message_margin, 0), 6) END
        AS mean_message_count_low,
    ROUND(m.mean_message_count + m.message_margin, 6) AS mean_message_count_high,
    COALESCE(c.csat_count, 0) AS csat_count,
    ROUND(c.mean_csat, 6) AS mean_csat,
    ROUND(c.mean_csat - c.csat_margin, 6) AS mean_csat_low,
    ROUND(c.mean_csat + c.csat_margin, 6) AS mean_csat_high
FROM wilson AS m
LEFT JOIN csat AS c
    ON c.kind = m.kind
    AND c.assistant IS NOT DISTINCT FROM m.assistant
    AND c.assistant_id IS NOT DISTINCT FROM m.assistant_id
    AND c.model_provider IS NOT DISTINCT FROM m.model_provider
    AND c.model_name IS NOT DISTINCT FROM m.model_name;
