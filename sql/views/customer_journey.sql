-- Which customers come back, and after how long? Grain: one row a session with an identified customer.
-- One person is one customer, whatever identified them: a saved id in one session and a number in another are the same customer
-- if a session, or a chain of sessions, carries both. customer_identities says how identities are joined, and which are not.
-- customer_journey_by_key is the same without joining.
-- A session belongs to the customer of its unshared identities; one that has only shared identities belongs to the first of
-- these, in the order of session_facts.identities.
-- Deleted and aged-out sessions count as visits, because they took place; deleted_at and aged_out_at tell them apart.
-- Columns:
--   customer_key: the customer, as in customers and customer_identities.
--   visit_number: from 1, by creation.
--   visit_count: the customer's sessions.
--   previous_session_id: the customer's session before this one.
--   seconds_since_previous: from the creation of the previous session to the creation of this one.
--   assistant: label of the assistant, as in session_facts.
--   previous_assistant_id: of the previous session.
--   outcome: completed, expired or open, as in session_facts.
CREATE OR REPLACE VIEW customer_journey AS
WITH
identified AS (
    SELECT f.session_id, ARG_MIN(c.customer_key, c.shared * 10 + f.place) AS customer_key
    FROM (
        SELECT session_id, UNNEST(identities) AS identity, UNNEST(RANGE(LEN(identities))) AS place
        FROM session_facts
    ) AS f
    JOIN customer_identities AS c ON c.identity = f.identity
    GROUP BY f.session_id
)
SELECT
    i.customer_key,
    f.session_id,
    f.created_at,
    ROW_NUMBER() OVER visits AS visit_number,
    COUNT(*) OVER (PARTITION BY i.customer_key) AS visit_count,
    LAG(f.session_id) OVER visits AS previous_session_id,
    EPOCH(f.created_at - LAG(f.created_at) OVER visits) AS seconds_since_previous,
    f.assistant_id,
    f.assistant_name,
    f.assistant,
    LAG(f.assistant_id) OVER visits AS previous_assistant_id,
    f.status,
    f.outcome,
    f.message_count,
    f.cost_usd,
    f.deleted_at,
    f.aged_out_at
FROM session_facts AS f
JOIN identified AS i ON i.session_id = f.session_id
WINDOW visits AS (PARTITION BY i.customer_key ORDER BY f.created_at, f.session_id);
