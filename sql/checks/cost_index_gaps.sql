-- Is a cost component of a session missing? Grain: one row a session with a gap.
SELECT
    session_id,
    COUNT(DISTINCT cost_index) AS distinct_indexes,
    MIN(cost_index) AS lowest_index,
    MAX(cost_index) AS highest_index
FROM costs
GROUP BY session_id
HAVING MIN(cost_index) <> 0 OR MAX(cost_index) <> COUNT(DISTINCT cost_index) - 1
ORDER BY session_id;
