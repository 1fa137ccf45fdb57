-- Which customers come back, and after how long? Grain: one row a session with an identified customer.
-- One person is one customer, whatever identified them: a saved id in one session and a number in another are the same customer
-- if a session, or a chain of sessions, carries both. customer_identities says how identities are joined, and which are not.
-- customer_journey_by_key is the same without joining.
-- A session belongs to the customer of its unshared identities, which are all joined, because the session carries them. One
-- that has only shared identities belongs to the first of these, in the order of session_facts.identities.
-- Deleted and aged-out sessions count as visits, because they took place; deleted_at and aged_out_at tell them apart.
-- Columns:
--   customer_key: The customer, as in customers and customer_identities.
--   visit_number: From 1, by creation.
--   visit_count: The customer's sessions.
--   previous_session_id: The customer's session before this one.
--   seconds_since_previous: From the creation of the previous session to the creation of this one.
--   identities: The values that this session carries, as kind:value.
--   assistant: Label of the assistant, as in session_facts.
--   previous_assistant_id: Of the previous session.
--   outcome: completed, expired or open, as in session_facts.
CREATE OR REPLACE VIEW customer_journey AS
WITH
known AS MATERIALIZED (
    SELECT identity, customer_key, shared
    FROM customer_identities
),
-- few sessions begin with a shared identity; the others need no search
found_by_another AS (
    SELECT o.session_id, ANY_VALUE(k.customer_key) AS customer_key
    FROM (
        SELECT f.session_id, UNNEST(f.identities) AS identity
        FROM session_facts AS f
        JOIN known AS k ON k.identity = f.identities[1] AND k.shared
    ) AS o
    JOIN known AS k ON k.identity = o.identity AND NOT k.shared
    GROUP BY o.session_id
),
identified AS (
    SELECT f.*, COALESCE(o.customer_key, k.customer_key) AS customer_key
    FROM session_facts AS f
    JOIN known AS k ON k.identity = f.identities[1]
    LEFT JOIN found_by_another AS o ON o.session_id = f.session_id
)
SELECT
    customer_key,
    customer_name,
    session_id,
    created_at,
    ROW_NUMBER() OVER visits AS visit_number,
    COUNT(*) OVER (PARTITION BY customer_key) AS visit_count,
    LAG(session_id) OVER visits AS previous_session_id,
    EPOCH(created_at - LAG(created_at) OVER visits) AS seconds_since_previous,
    assistant_id,
    assistant_name,
    assistant,
    LAG(assistant_id) OVER visits AS previous_assistant_id,
    status,
    outcome,
    message_count,
    cost_usd,
    identities,
    deleted_at,
    aged_out_at
FROM identified
WINDOW visits AS (PARTITION BY customer_key ORDER BY created_at, session_id);
