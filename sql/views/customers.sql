-- Who are the customers, how often do they come, how does it end, and what do they cost? Grain: one row a customer.
-- One person is one customer, whatever identified them; customer_identities says how identities are joined. Sessions without an
-- identified customer are not here. Deleted and aged-out sessions count, because they took place.
-- Columns:
--   customer_key: The first of the customer's identities.
--   customer_name: The name in the customer's latest session that has one.
--   identities: All values that the customer's sessions carry, as kind:value, in alphabetical order; shared ones too, which
--     other customers may have.
--   identity_count: Their number.
--   session_count: The customer's sessions.
--   completed_session_count: Those that are completed.
--   expired_session_count: Those that expired without being completed.
--   open_session_count: All others.
--   message_count: Messages of all roles in these sessions.
--   cost_usd: Sum over sessions that have a price; null, not zero, if none has.
--   pending_session_count: Sessions without a price yet.
--   first_contact_at: Creation of the first session.
--   last_contact_at: Creation of the latest session.
--   is_returning: Whether the customer has more than one session.
--   median_days_between_contacts: From the creation of one session to that of the next; null if there is one session only.
CREATE OR REPLACE VIEW customers AS
SELECT
    customer_key,
    ARG_MAX(NULLIF(TRIM(customer_name), ''), visit_number) AS customer_name,
    LIST_SORT(LIST_DISTINCT(FLATTEN(LIST(identities)))) AS identities,
    LEN(LIST_DISTINCT(FLATTEN(LIST(identities)))) AS identity_count,
    COUNT(*) AS session_count,
    COUNT(*) FILTER (WHERE outcome = 'completed') AS completed_session_count,
    COUNT(*) FILTER (WHERE outcome = 'expired') AS expired_session_count,
    COUNT(*) FILTER (WHERE outcome = 'open') AS open_session_count,
    CAST(SUM(message_count) AS BIGINT) AS message_count,
    ROUND(FSUM(cost_usd), 6) AS cost_usd,
    COUNT(*) FILTER (WHERE cost_usd IS NULL) AS pending_session_count,
    MIN(created_at) AS first_contact_at,
    MAX(created_at) AS last_contact_at,
    COUNT(*) > 1 AS is_returning,
    ROUND(MEDIAN(seconds_since_previous) / 86400, 6) AS median_days_between_contacts
FROM customer_journey
GROUP BY customer_key;
