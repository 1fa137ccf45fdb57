-- Which customers came back within 30 days, and how had the contact before ended? Grain: one row a session that followed an earlier one of the same customer.
-- The 30 days are counted from the creation of the customer's previous session; for another number, use customer_journey.
-- Customers are those of customer_journey. Deleted and aged-out sessions count, because they took place.
-- Columns:
--   customer_key: As in customers.
--   day: The day on which the session was created.
--   previous_session_id: The customer's session before this one.
--   days_since_previous: From the creation of the previous session to the creation of this one.
--   outcome: Of this session, as in session_facts.
--   previous_outcome: Of the previous one, as it stands now.
--   assistant: Label of this session's assistant, as in session_facts.
--   previous_assistant: Label of the previous one's.
CREATE OR REPLACE VIEW repeat_contacts AS
WITH
visits AS (
    SELECT
        *,
        LAG(outcome) OVER earlier AS previous_outcome,
        LAG(assistant) OVER earlier AS previous_assistant
    FROM customer_journey
    WINDOW earlier AS (PARTITION BY customer_key ORDER BY visit_number)
)
SELECT
    customer_key,
    session_id,
    created_at,
    CAST(created_at AT TIME ZONE 'UTC' AS DATE) AS day,
    previous_session_id,
    ROUND(seconds_since_previous / 86400, 6) AS days_since_previous,
    outcome,
    previous_outcome,
    assistant,
    previous_assistant
FROM visits
WHERE seconds_since_previous <= 30 * 86400;
