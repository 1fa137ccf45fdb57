-- Does each structured output belong to a session, once? Grain: one row a session with a problem, of which the first is named.
WITH
found AS (
    SELECT
        session_id,
        MIN(session_created_at) AS first_created_at,
        MAX(session_created_at) AS last_created_at,
        COUNT(*) AS outputs_found,
        COUNT(DISTINCT structured_output_id) AS distinct_outputs
    FROM structured_outputs
    GROUP BY session_id
),
compared AS (
    SELECT
        f.session_id,
        CASE
            WHEN s.session_id IS NULL THEN 'the session is missing'
            WHEN f.first_created_at <> s.created_at OR f.last_created_at <> s.created_at THEN 'session_created_at differs'
            WHEN f.outputs_found > f.distinct_outputs THEN 'an output is repeated'
        END AS problem,
        f.* EXCLUDE (session_id)
    FROM found AS f
    LEFT JOIN sessions AS s ON s.session_id = f.session_id
)
SELECT * FROM compared WHERE problem IS NOT NULL ORDER BY session_id;
