-- Which conversations were taken up again on a later day, after how long, and after what? Grain: one row a resumption of a session.
-- A session is resumed when somebody speaks on a later day than the one who spoke before, at least an hour later, so that a
-- conversation through midnight is not resumed. Spoken messages are those of the customer, and those of the assistant with
-- text. Deleted and aged-out sessions are included.
-- A message without a time of its own (chats) counts as sent when it was first seen, or at the time of the next message that
-- has one, if that is earlier. If it was seen together with the message before it, nothing tells them apart: it counts as sent
-- with that one. So a resumption between untimed messages is known only if a sync came in between, and none is known in
-- sessions that were complete when they were first read.
-- Columns:
--   resumption_number: From 1, in each session.
--   resumed_at: Time of the first message after the break.
--   day: The day of resumed_at.
--   gap_seconds: Length of the break, from the message before it to resumed_at.
--   message_index: Of the first message after the break.
--   message_count: Messages of all roles from there to the next resumption or the end.
--   previous_speaker: Who spoke last before the break: customer or assistant.
--   previous_text: What that message said.
--   first_text: What the first message after the break said.
--   outcome: As in session_facts: how the session stands now.
CREATE OR REPLACE VIEW resumptions AS
WITH
-- most sessions are over within a day: they need no sorting
long_sessions AS (
    SELECT session_id, session_created_at
    FROM messages
    GROUP BY session_id, session_created_at
    HAVING EPOCH(MAX(GREATEST(sent_at, first_seen_at)) - MIN(LEAST(sent_at, first_seen_at))) >= 3600
),
-- materialized before the roles are filtered: otherwise DuckDB takes the few roles for few messages, and joins the wrong way round
of_long_sessions AS MATERIALIZED (
    SELECT
        session_id,
        session_created_at,
        message_index,
        role,
        sent_at,
        first_seen_at,
        COALESCE(content, refusal) AS text
    FROM messages
    SEMI JOIN long_sessions USING (session_id, session_created_at)
),
spoken AS (
    SELECT *, CASE WHEN role = 'user' THEN 'customer' ELSE 'assistant' END AS speaker
    FROM of_long_sessions
    WHERE role = 'user' OR (role IN ('assistant', 'bot') AND (text BETWEEN '!' AND '~' OR TRIM(text) <> ''))  -- the first is faster
),
timed AS (
    SELECT
        *,
        CASE
            WHEN sent_at IS NOT NULL THEN sent_at
            WHEN first_seen_at > COALESCE(LAG(first_seen_at) OVER in_order, CAST('-infinity' AS TIMESTAMPTZ))
                THEN LEAST(first_seen_at, FIRST_VALUE(sent_at IGNORE NULLS) OVER rest)
        END AS known_at
    FROM spoken
    WINDOW
        in_order AS (PARTITION BY session_id, session_created_at ORDER BY message_index),
        rest AS (
            PARTITION BY session_id, session_created_at ORDER BY message_index
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        )
),
followed AS (
    SELECT
        session_id,
        session_created_at,
        message_index,
        text,
        known_at,
        LAST_VALUE(known_at IGNORE NULLS) OVER earlier AS previous_at,
        LAG(speaker) OVER in_order AS previous_speaker,
        LAG(text) OVER in_order AS previous_text
    FROM timed
    WINDOW
        in_order AS (PARTITION BY session_id, session_created_at ORDER BY message_index),
        earlier AS (
            PARTITION BY session_id, session_created_at ORDER BY message_index
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
),
resumed AS (
    SELECT
        *,
        CAST(known_at AT TIME ZONE 'UTC' AS DATE) AS day,
        EPOCH(known_at - previous_at) AS gap_seconds
    FROM followed
    WHERE EPOCH(known_at - previous_at) >= 3600
        AND CAST(known_at AT TIME ZONE 'UTC' AS DATE) > CAST(previous_at AT TIME ZONE 'UTC' AS DATE)
)
SELECT
    r.session_id,
    r.session_created_at,
    ROW_NUMBER() OVER in_order AS resumption_number,
    r.known_at AS resumed_at,
    r.day,
    r.gap_seconds,
    r.message_index,
    COALESCE(LEAD(r.message_index) OVER in_order, f.message_count) - r.message_index AS message_count,
    r.previous_speaker,
    r.previous_text,
    r.text AS first_text,
    f.outcome
FROM resumed AS r
JOIN session_facts AS f ON f.session_id = r.session_id AND f.created_at = r.session_created_at
WINDOW in_order AS (PARTITION BY r.session_id, r.session_created_at ORDER BY r.message_index);
