-- Which tools are called, how often do they fail to answer, and how fast are they? Grain: one row a function name.
-- Calls of deleted and aged-out sessions count. Calls without a function name make one row with a null name.
-- Outcomes are those of tool_calls_with_results, which explains why error_count is a guess.
-- Latencies are rounded to microseconds, the unit of the times, because DuckDB versions interpolate the last bits differently.
CREATE OR REPLACE VIEW tool_usage AS
SELECT
    function_name,
    COUNT(*) AS call_count,
    COUNT(DISTINCT session_id) AS session_count,
    COUNT(*) FILTER (WHERE outcome = 'answered') AS answered_count,
    COUNT(*) FILTER (WHERE outcome = 'unanswered') AS unanswered_count,
    COUNT(*) FILTER (WHERE outcome = 'no_result') AS no_result_count,
    COUNT(*) FILTER (WHERE outcome = 'error') AS error_count,
    COUNT(*) FILTER (WHERE outcome = 'unanswered') / COUNT(*) AS unanswered_share,
    COUNT(latency_seconds) AS timed_call_count,
    ROUND(MEDIAN(latency_seconds), 6) AS median_latency_seconds,
    ROUND(QUANTILE_CONT(latency_seconds, 0.95), 6) AS p95_latency_seconds,
    MIN(called_at) AS first_called_at,
    MAX(called_at) AS last_called_at
FROM tool_calls_with_results
GROUP BY function_name;
