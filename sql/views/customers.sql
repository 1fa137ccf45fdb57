CREATE OR REPLACE VIEW customers AS
WITH
visits AS MATERIALIZED (
    SELECT
        j.customer_key, j.session_id, j.created_at, j.outcome, j.message_count, j.cost_usd, j.seconds_since_previous,
        f.customer_name,
        f.identities
    FROM customer_journey AS j
    JOIN session_facts AS f ON f.session_id = j.session_id
),
known_as AS (
    SELECT
        customer_key,
        LIST(identity ORDER BY LIST_POSITION(['id', 'external_id', 'number', 'email', 'sip_uri'], SPLIT_PART(identity, ':', 1)), identity) AS identities
    FROM (SELECT DISTINCT customer_key, UNNEST(identities) AS identity FROM visits)
    GROUP BY customer_key
)
SELECT
    v.customer_key,
    ARG_MAX(v.customer_name, (v.created_at, v.session_id)) FILTER (WHERE TRIM(v.customer_name) <> '') AS customer_name,
    ANY_VALUE(k.identities) AS identities,
    LEN(ANY_VALUE(k.identities)) AS identity_count,
    COUNT(*) AS session_count,
    COUNT(*) FILTER (WHERE v.outcome = 'completed') AS completed_session_count,
    COUNT(*) FILTER (WHERE v.outcome = 'expired') AS expired_session_count,
    COUNT(*) FILTER (WHERE v.outcome = 'open') AS open_session_count,
    CAST(SUM(v.message_count) AS BIGINT) AS message_count,
    ROUND(FSUM(v.cost_usd), 6) AS cost_usd,
    COUNT(*) FILTER (WHERE v.cost_usd IS NULL) AS pending_session_count,
    MIN(v.created_at) AS first_contact_at,
    MAX(v.created_at) AS last_contact_at,
    COUNT(*) > 1 AS returning,
    ROUND(MEDIAN(v.seconds_since_previous) / 86400, 6) AS median_days_between_contacts
FROM visits AS v
JOIN known_as AS k ON k.customer_key = v.customer_key
GROUP BY v.customer_key;
