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
            WHEN role IN ('assistant', 'bot') AND (text BETWEEN '!' AND '~' OR TRIM(text) <> '') THEN 'assistant'  -- the first is faster
        END AS speaker
    FROM messages
),
marked AS (
    SELECT
        *,
        LAG(speaker IGNORE NULLS)
            OVER (PARTITION BY session_id, session_created_at ORDER BY message_index) AS previous_speaker,
        speaker = 'customer' AND previous_speaker IS DISTINCT FROM 'customer' AS begins_turn,
        speaker = 'assistant' AND previous_speaker = 'customer' AS begins_response
    FROM message_speaker
    WHERE speaker IS NOT NULL OR tool_call_count > 0
),
numbered AS (
    SELECT
        *,
        COUNT(*) FILTER (WHERE begins_turn)
            OVER (PARTITION BY session_id, session_created_at ORDER BY message_index) AS turn_number
    FROM marked
),
gathered AS (
    SELECT
        session_id,
        session_created_at,
        turn_number,
        MIN(message_index) AS first_message_index,
        MIN(message_index) FILTER (WHERE begins_response) AS response_message_index,
        COUNT(*) FILTER (WHERE speaker = 'customer') AS customer_message_count,
        -- most turns have one text of each: to sort only those after it is faster
        MAX(text) FILTER (WHERE begins_turn) AS customer_text,
        STRING_AGG(text, CHR(10) ORDER BY message_index)
            FILTER (WHERE speaker = 'customer' AND NOT begins_turn) AS more_customer_text,
        MAX(text) FILTER (WHERE begins_response) AS response_text,
        STRING_AGG(text, CHR(10) ORDER BY message_index)
            FILTER (WHERE speaker = 'assistant' AND NOT begins_response) AS more_response_text,
        SUM(tool_call_count)::BIGINT AS tool_call_count,
        ARG_MAX_NULL(over_at, message_index) FILTER (WHERE speaker = 'customer') AS customer_over_at,
        MAX(sent_at) FILTER (WHERE begins_response) AS response_at
    FROM numbered
    WHERE turn_number > 0
    GROUP BY session_id, session_created_at, turn_number
)
SELECT
    session_id,
    session_created_at,
    turn_number,
    first_message_index,
    response_message_index,
    customer_message_count,
    COALESCE(customer_text || CHR(10) || more_customer_text, customer_text, more_customer_text) AS customer_text,
    COALESCE(response_text || CHR(10) || more_response_text, response_text) AS response_text,
    tool_call_count,
    EPOCH(response_at - customer_over_at) AS response_seconds
FROM gathered;
