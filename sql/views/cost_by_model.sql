-- What does each model cost, in total and per token? Grain: one row a model (provider and name).
-- Components without a model, such as the session fee, make one row with both null.
-- Deleted and aged-out sessions count, because they were billed.
-- cached_prompt_tokens are part of prompt_tokens, and reasoning_tokens are part of completion_tokens: do not add them.
-- Columns:
--   session_count: Sessions with a component of this model.
--   component_count: Components of this model.
--   pending_component_count: Components without a price yet.
--   cost_usd: Sum over components that have a price; null, not zero, if none has.
--   model_cost_usd: The part of components of type model.
--   analysis_cost_usd: The part of components of type analysis.
--   prompt_tokens: Sum over all components, pending ones included.
--   completion_tokens: Likewise.
--   cached_prompt_tokens: Likewise.
--   reasoning_tokens: Likewise.
--   usd_per_million_tokens: Over components that have a price, with prompt and completion tokens together.
--   first_day: The day of the first session with a component of this model.
--   last_day: The day of the last one.
CREATE OR REPLACE VIEW cost_by_model AS
SELECT
    model_provider,
    model_name,
    COUNT(DISTINCT session_id) AS session_count,
    COUNT(*) AS component_count,
    COUNT(*) FILTER (WHERE cost_usd IS NULL) AS pending_component_count,
    ROUND(FSUM(cost_usd), 6) AS cost_usd,
    ROUND(FSUM(cost_usd) FILTER (WHERE type = 'model'), 6) AS model_cost_usd,
    ROUND(FSUM(cost_usd) FILTER (WHERE type = 'analysis'), 6) AS analysis_cost_usd,
    SUM(prompt_tokens)::BIGINT AS prompt_tokens,
    SUM(completion_tokens)::BIGINT AS completion_tokens,
    SUM(cached_prompt_tokens)::BIGINT AS cached_prompt_tokens,
    SUM(reasoning_tokens)::BIGINT AS reasoning_tokens,
    ROUND(
        1e6 * FSUM(cost_usd) FILTER (WHERE prompt_tokens IS NOT NULL OR completion_tokens IS NOT NULL)
        / NULLIF(
            SUM(COALESCE(prompt_tokens, 0) + COALESCE(completion_tokens, 0)) FILTER (WHERE cost_usd IS NOT NULL), 0
        ),
        6
    ) AS usd_per_million_tokens,
    CAST(MIN(session_created_at) AT TIME ZONE 'UTC' AS DATE) AS first_day,
    CAST(MAX(session_created_at) AT TIME ZONE 'UTC' AS DATE) AS last_day
FROM costs
GROUP BY model_provider, model_name;
