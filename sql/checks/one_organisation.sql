-- Does the warehouse hold sessions of more than one organisation? Grain: one row an organisation, if there are several.
SELECT org_id, COUNT(*) AS session_count
FROM sessions
GROUP BY org_id
QUALIFY COUNT(*) OVER () > 1
ORDER BY org_id;
