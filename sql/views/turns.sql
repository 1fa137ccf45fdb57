-- What did the customer say, what came back, and how long did it take? Grain: one row a turn of a session.
-- A turn begins with a customer message that does not follow another one; consecutive customer messages are one turn. It
-- lasts until the next turn. A greeting before the first turn belongs to none. Deleted and aged-out sessions are included.
-- The response is the assistant's text in the turn; a message that is blank or only calls tools is not a response.
-- Columns:
--   turn_number: Position of the turn in the session, from 1.
--   first_message_index: Position of the turn's first message.
--   response_message_index: Position of the first message of the response; null if there is none.
--   customer_message_count: Messages of the customer in the turn.
--   customer_text: Texts of these messages, joined by a newline.
--   response_text: Texts of the assistant in the turn, joined by a newline; null if there is no response.
--   tool_call_count: Tool calls in the turn.
--   response_seconds: From the end of the customer's last message to the start of the response, tool calls included.
--     Negative if the assistant interrupted; null if a message has no time (chats), or if there is no response.
CREATE OR REPLACE VIEW turns AS
WITH
message_speaker AS (
    SELECT
        session_id,
        session_created_at,
        message_index,
        COALESCE(content, refusal) AS text,
        sent_at,
        COALESCE(ended_at, sent_at) AS over_at,
        tool_call_count,
        CASE
            WHEN role = 'user' THEN 'customer'
            WHEN role IN ('assistant', 'bot') AND TRIM(COALESCE(content, refusal)) <> '' THEN 'assistant'
        END AS speaker
    FROM messages
),
marked AS (
    SELECT
        *,
        speaker = 'customer'
        AND LAG(speaker IGNORE NULLS) OVER (PARTITION BY session_id, session_created_at ORDER BY message_index)
            IS DISTINCT FROM 'customer' AS begins_turn
    FROM message_speaker
),
numbered AS (
    SELECT
        *,
        COUNT(*) FILTER (WHERE begins_turn)
            OVER (PARTITION BY session_id, session_created_at ORDER BY message_index) AS turn_number
    FROM marked
)
SELECT
    session_id,
    session_created_at,
    turn_number,
    MIN(message_index) AS first_message_index,
    MIN(message_index) FILTER (WHERE speaker = 'assistant') AS response_message_index,
    COUNT(*) FILTER (WHERE speaker = 'customer') AS customer_message_count,
    STRING_AGG(text, CHR(10) ORDER BY message_index) FILTER (WHERE speaker = 'customer') AS customer_text,
    STRING_AGG(text, CHR(10) ORDER BY message_index) FILTER (WHERE speaker = 'assistant') AS response_text,
    SUM(tool_call_count)::BIGINT AS tool_call_count,
    EPOCH(
        ARG_MIN_NULL(sent_at, message_index) FILTER (WHERE speaker = 'assistant')
        - ARG_MAX_NULL(over_at, message_index) FILTER (WHERE speaker = 'customer')
    ) AS response_seconds
FROM numbered
WHERE turn_number > 0
GROUP BY session_id, session_created_at, turn_number;
