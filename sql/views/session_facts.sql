-- What is known of each session at a glance: outcome, day, assistant, customer, size, cost? Grain: one row a session.
-- A base for queries of your own: it reads only the table sessions. Deleted and aged-out sessions are included.
-- The source does not say when a session expires: its lifetime may run from the creation or from the last activity. A session
-- counts as expired only if it is over by both, up to the time until which the warehouse is complete: as many seconds as its
-- lifetime have passed since its last change. Costs that arrive late are changes too, so a session may be shown as open for
-- one lifetime longer than it was.
-- Columns:
--   day: The day on which the session was created.
--   weekday: Of that day; 1 = Monday, 7 = Sunday.
--   hour: Hour of the day in which the session was created, 0 to 23.
--   outcome: completed (by its status), expired (not completed, and its lifetime is over) or open (all others, and sessions
--     with an unknown lifetime).
--   assistant: The assistant's latest known name; without one, its id. Sessions with the same assistant_id have the same
--     label, whether they carry a name or not. Null if the session has neither id nor name.
--   identities: Values by which the customer is known, as kind:value, in the order id (saved customer), external_id, number,
--     email, sip_uri; empty if there is none. Blanks at both ends are removed. E-mail and SIP addresses are in lower case. A
--     telephone number that consists of digits and blanks, dots, hyphens, slashes or brackets is reduced to its digits and a
--     leading +, also for a leading 00. Numbers with and without country code are not compared, because that needs the country.
CREATE OR REPLACE VIEW session_facts AS
WITH
latest_names AS (
    SELECT assistant_id, ARG_MAX(assistant_name, (created_at, session_id)) AS assistant_name
    FROM sessions
    WHERE TRIM(assistant_name) <> ''
    GROUP BY assistant_id
),
local AS (
    SELECT
        *,
        created_at AT TIME ZONE 'UTC' AS local_time,
        -- most numbers need no work
        CASE
            WHEN REGEXP_FULL_MATCH(customer_number, '[+][0-9]+') THEN customer_number
            ELSE TRANSLATE(customer_number, ' ().-/' || CHR(160), '')
        END AS bare_number
    FROM sessions
),
known AS (
    SELECT
        *,
        'id:' || NULLIF(TRIM(customer_id), '') AS by_id,
        'external_id:' || NULLIF(TRIM(customer_external_id), '') AS by_external_id,
        'number:' || CASE
            WHEN NOT REGEXP_FULL_MATCH(bare_number, '[+]?[0-9]+') THEN NULLIF(TRIM(customer_number), '')
            WHEN bare_number LIKE '00_%' THEN '+' || SUBSTR(bare_number, 3)
            ELSE bare_number
        END AS by_number,
        'email:' || NULLIF(LOWER(TRIM(customer_email)), '') AS by_email,
        'sip_uri:' || NULLIF(LOWER(TRIM(customer_sip_uri)), '') AS by_sip_uri
    FROM local
)
SELECT
    s.session_id,
    s.created_at,
    s.updated_at,
    CAST(s.local_time AS DATE) AS day,
    ISODOW(s.local_time) AS weekday,
    HOUR(s.local_time) AS hour,
    CASE
        WHEN s.status = 'completed' THEN 'completed'
        WHEN
            EPOCH_US((SELECT complete_until FROM freshness)) - EPOCH_US(s.updated_at)
            >= EPOCH_US(s.expires_at) - EPOCH_US(s.created_at)
            THEN 'expired'
        ELSE 'open'
    END AS outcome,
    COALESCE(n.assistant_name, NULLIF(TRIM(s.assistant_name), ''), s.assistant_id) AS assistant,
    s.assistant_id,
    s.assistant_name,
    s.model_provider,
    s.model_name,
    s.customer_name,
    LIST_WHERE(
        [by_id, by_external_id, by_number, by_email, by_sip_uri],
        [
            by_id IS NOT NULL, by_external_id IS NOT NULL, by_number IS NOT NULL, by_email IS NOT NULL,
            by_sip_uri IS NOT NULL
        ]
    ) AS identities,
    s.status,
    s.cost_usd,
    s.message_count,
    s.user_message_count,
    s.assistant_message_count,
    s.tool_call_count,
    s.expires_at,
    s.deleted_at,
    s.aged_out_at
FROM known AS s
LEFT JOIN latest_names AS n ON n.assistant_id = s.assistant_id;
