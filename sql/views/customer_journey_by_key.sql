-- Which customers come back, if one person with two kinds of identifiers counts as two? Grain: one row a session with an identified customer.
-- customer_key is the first of: saved customer id, external id, number, e-mail, SIP URI; prefixed with its kind.
-- A person known by a number in one session and by an id in another counts as two customers: the source does not link them.
-- Deleted and aged-out sessions count as visits, because they took place; deleted_at and aged_out_at tell them apart.
-- seconds_since_previous: from the creation of the customer's previous session to the creation of this one.
CREATE OR REPLACE VIEW customer_journey_by_key AS
WITH
identified AS (
    SELECT
        *,
        COALESCE(
            'id:' || NULLIF(TRIM(customer_id), ''),
            'external_id:' || NULLIF(TRIM(customer_external_id), ''),
            'number:' || NULLIF(TRIM(customer_number), ''),
            'email:' || NULLIF(LOWER(TRIM(customer_email)), ''),
            'sip_uri:' || NULLIF(LOWER(TRIM(customer_sip_uri)), '')
        ) AS customer_key
    FROM sessions
)
SELECT
    customer_key,
    session_id,
    created_at,
    ROW_NUMBER() OVER visits AS visit_number,
    COUNT(*) OVER (PARTITION BY customer_key) AS visit_count,
    LAG(session_id) OVER visits AS previous_session_id,
    EPOCH(created_at - LAG(created_at) OVER visits) AS seconds_since_previous,
    assistant_id,
    assistant_name,
    LAG(assistant_id) OVER visits AS previous_assistant_id,
    status,
    message_count,
    cost_usd,
    deleted_at,
    aged_out_at
FROM identified
WHERE customer_key IS NOT NULL
WINDOW visits AS (PARTITION BY customer_key ORDER BY created_at, session_id);
