-- How often is each tool called a day, and how well does it answer? Grain: one row a day of session creation and function name.
-- A call counts on the day its session was created, like costs and messages, also if the conversation was resumed later.
-- Calls of deleted and aged-out sessions count. Calls without a function name make a row with a null name.
-- Outcomes are those of tool_calls_with_results, which explains why failed_count is a guess.
-- Columns:
--   day: The day on which the sessions were created.
--   call_count: Calls of this function.
--   answered_count: Calls with a result that is neither empty nor an error.
--   failed_count: Calls whose answer reads like an error.
--   empty_count: Calls whose answer is the source's placeholder for an empty result.
--   unanswered_count: Calls that no tool message answers.
--   repeated_count: Calls with the same function name and arguments as an earlier call of their session.
--   timed_call_count: Calls whose latency is known.
--   median_latency_seconds: Over the timed calls.
--   p95_latency_seconds: 95 of 100 timed calls are answered within this time (interpolated).
CREATE OR REPLACE VIEW tools_by_day AS
SELECT
    CAST(session_created_at AT TIME ZONE 'UTC' AS DATE) AS day,
    function_name,
    COUNT(*) AS call_count,
    COUNT(*) FILTER (WHERE outcome = 'answered') AS answered_count,
    COUNT(*) FILTER (WHERE outcome = 'error') AS failed_count,
    COUNT(*) FILTER (WHERE outcome = 'no_result') AS empty_count,
    COUNT(*) FILTER (WHERE outcome = 'unanswered') AS unanswered_count,
    COUNT(*) FILTER (WHERE repeated) AS repeated_count,
    COUNT(latency_seconds) AS timed_call_count,
    ROUND(MEDIAN(latency_seconds), 6) AS median_latency_seconds,
    ROUND(QUANTILE_CONT(latency_seconds, 0.95), 6) AS p95_latency_seconds
FROM tool_calls_with_results
GROUP BY day, function_name;
