-- Which customers come back, if one who is known by two identities counts as two? Grain: one row a session with an identified customer.
-- For those who want no joining of identities: customer_key depends only on the session itself. customer_journey joins them.
-- Deleted and aged-out sessions count as visits, because they took place; deleted_at and aged_out_at tell them apart.
-- Columns:
--   customer_key: The first that the session has of saved customer id, external id, number, e-mail and SIP URI, as kind:value.
--     Blanks at both ends are removed, and e-mail and SIP addresses are in lower case.
--   visit_number: From 1, by creation.
--   visit_count: Sessions with this customer_key.
--   previous_session_id: The session with this key before this one.
--   seconds_since_previous: From the creation of that session to the creation of this one.
--   previous_assistant_id: Assistant of the previous session.
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
