-- What are the costs of each day made of? Grain: one row a day of session creation, cost type, analysis type and model.
-- Meant to be summed further: by day and type, or by day and model. Deleted and aged-out sessions count: they were billed.
-- A session without components at the source is missing here, but not in cost_by_day.
-- Columns:
--   day: The day on which the sessions were created.
--   session_count: Sessions with such a component. A session can be in several rows: do not add the counts.
--   component_count: Components.
--   pending_component_count: Components without a price yet.
--   cost_usd: Sum over components that have a price; null, not zero, if none has.
--   prompt_tokens: Sum over all components, pending ones included.
--   completion_tokens: Likewise.
CREATE OR REPLACE VIEW cost_components_by_day AS
SELECT
    CAST(session_created_at AT TIME ZONE 'UTC' AS DATE) AS day,
    type,
    analysis_type,
    model_provider,
    model_name,
    COUNT(DISTINCT session_id) AS session_count,
    COUNT(*) AS component_count,
    COUNT(*) FILTER (WHERE cost_usd IS NULL) AS pending_component_count,
    ROUND(FSUM(cost_usd), 6) AS cost_usd,
    SUM(prompt_tokens)::BIGINT AS prompt_tokens,
    SUM(completion_tokens)::BIGINT AS completion_tokens
FROM costs
GROUP BY day, type, analysis_type, model_provider, model_name;
