-- Which tools are called, how often do they fail to answer, and how fast are they? Grain: one row a function name.
-- Calls of deleted and aged-out sessions count. Calls without a function name make one row with a null name.
-- Outcomes are those of tool_calls_with_results, which explains why error_count is a guess.
-- Latencies are rounded to microseconds, the unit of the times, because DuckDB versions interpolate the last bits differently.
-- Columns:
--   call_count: Calls of this function.
--   session_count: Sessions with such a call.
--   answered_count: Calls with a result that is neither empty nor an error.
--   unanswered_count: Calls that no tool message answers.
--   no_result_count: Calls whose answer is the source's placeholder for an empty result.
--   error_count: Calls whose answer reads like an error.
--   unanswered_share: unanswered_count / call_count.
--   repeated_count: Calls with the same function name and arguments as an earlier call of their session.
--   timed_call_count: Calls whose latency is known.
--   median_latency_seconds: Over the timed calls.
--   p95_latency_seconds: 95 of 100 timed calls are answered within this time (interpolated).
--   first_called_at: Time of the first call.
--   last_called_at: Time of the last call.
CREATE OR REPLACE VIEW tool_usage AS
SELECT
    function_name,
    COUNT(*) AS call_count,
    COUNT(DISTINCT session_id) AS session_count,
    COUNT(*) FILTER (WHERE outcome = 'answered') AS answered_count,
    COUNT(*) FILTER (WHERE outcome = 'unanswered') AS unanswered_count,
    COUNT(*) FILTER (WHERE outcome = 'no_result') AS no_result_count,
    COUNT(*) FILTER (WHERE outcome = 'error') AS error_count,
    ROUND(COUNT(*) FILTER (WHERE outcome = 'unanswered') / COUNT(*), 6) AS unanswered_share,
    COUNT(*) FILTER (WHERE repeated) AS repeated_count,
    COUNT(latency_seconds) AS timed_call_count,
    ROUND(MEDIAN(latency_seconds), 6) AS median_latency_seconds,
    ROUND(QUANTILE_CONT(latency_seconds, 0.95), 6) AS p95_latency_seconds,
    MIN(called_at) AS first_called_at,
    MAX(called_at) AS last_called_at
FROM tool_calls_with_results
GROUP BY function_name;
