-- What is each day's cost made of? Grain: one row a UTC day of session creation, cost type, analysis type and model.
-- Made to be summed again: by day and type, by day and model. Deleted and aged-out sessions count: they were billed.
-- cost_usd sums the components that have a price; it is null, not zero, where none has. A session whose components the
-- source does not list is missing here, but not in cost_by_day.
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
    SUM(cost_usd) AS cost_usd,
    SUM(prompt_tokens)::BIGINT AS prompt_tokens,
    SUM(completion_tokens)::BIGINT AS completion_tokens
FROM costs
GROUP BY day, type, analysis_type, model_provider, model_name;
