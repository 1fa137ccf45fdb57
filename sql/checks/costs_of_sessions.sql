-- Are the cost components of each session complete, and of that session? Grain: one row a session with a problem, of which the first is named.
-- Distinct indexes are counted as in messages_of_sessions.
WITH
found AS (
    SELECT
        session_id,
        MIN(session_created_at) AS first_created_at,
        MAX(session_created_at) AS last_created_at,
        COUNT(*) AS costs_found,
        COALESCE(BIT_COUNT(BIT_OR(CASE WHEN cost_index BETWEEN 0 AND 126 THEN 1::HUGEINT << cost_index END)), 0)
        + COALESCE(LEN(LIST_DISTINCT(LIST(cost_index) FILTER (cost_index NOT BETWEEN 0 AND 126))), 0) AS distinct_indexes,
        MIN(cost_index) AS lowest_index,
        MAX(cost_index) AS highest_index
    FROM costs
    GROUP BY session_id
),
compared AS (
    SELECT
        f.session_id,
        CASE
            WHEN s.session_id IS NULL THEN 'the session is missing'
            WHEN f.first_created_at <> s.created_at OR f.last_created_at <> s.created_at THEN 'session_created_at differs'
            WHEN f.costs_found > f.distinct_indexes THEN 'a cost_index is repeated'
            WHEN f.lowest_index <> 0 OR f.highest_index <> f.distinct_indexes - 1 THEN 'a cost_index is missing'
        END AS problem,
        f.* EXCLUDE (session_id)
    FROM found AS f
    LEFT JOIN sessions AS s ON s.session_id = f.session_id
)
SELECT * FROM compared WHERE problem IS NOT NULL ORDER BY session_id;
