-- How many tokens does each model use, how many are cached or reasoning? Grain: one row a day of session creation and model.
-- Counted are cost components that name a model or count tokens, so not the session fee. Deleted and aged-out sessions count.
-- A component that gives no cached or reasoning tokens counts as having none. To sum the shares further, divide the sums.
-- Columns:
--   day: The day on which the sessions were created.
--   component_count: Components, of models and analyses.
--   prompt_tokens: Sum over all components, pending ones included; null if none gives it.
--   cached_prompt_tokens: The part of prompt_tokens that came from the provider's cache; null if no component gives it.
--   cached_share: cached_prompt_tokens / prompt_tokens.
--   completion_tokens: Sum over all components; null if none gives it.
--   reasoning_tokens: Tokens spent on reasoning; null if no component gives it.
--   reasoning_share: reasoning_tokens / completion_tokens.
--   cost_usd: Sum over components that have a price; null, not zero, if none has.
--   incomplete_component_count: Components whose usage_complete is false: their tokens and cost may be too low.
CREATE OR REPLACE VIEW tokens_by_day AS
SELECT
    CAST(session_created_at AT TIME ZONE 'UTC' AS DATE) AS day,
    model_provider,
    model_name,
    COUNT(*) AS component_count,
    SUM(prompt_tokens)::BIGINT AS prompt_tokens,
    SUM(cached_prompt_tokens)::BIGINT AS cached_prompt_tokens,
    ROUND(SUM(cached_prompt_tokens) / NULLIF(SUM(prompt_tokens), 0), 6) AS cached_share,
    SUM(completion_tokens)::BIGINT AS completion_tokens,
    SUM(reasoning_tokens)::BIGINT AS reasoning_tokens,
    ROUND(SUM(reasoning_tokens) / NULLIF(SUM(completion_tokens), 0), 6) AS reasoning_share,
    ROUND(FSUM(cost_usd), 6) AS cost_usd,
    COUNT(*) FILTER (WHERE NOT usage_complete) AS incomplete_component_count
FROM costs
WHERE COALESCE(model_provider, model_name) IS NOT NULL OR COALESCE(prompt_tokens, completion_tokens) IS NOT NULL
GROUP BY day, model_provider, model_name;
