-- How did each session go: length, turns, tools, cost, results? Grain: one row a session.
-- Deleted and aged-out sessions are included; deleted_at and aged_out_at tell them apart.
-- Spoken messages are those of the customer, and those of the assistant that have text. System prompts, tool calls and tool
-- results are not spoken.
-- Chat messages have no time of their own, and some messages of calls have none either: two columns give a lower and an upper
-- bound of the duration.
-- Children are joined on session_created_at too, so that a filter on created_at also prunes their files.
-- Columns:
--   name: User-defined name of the session.
--   model_provider: Provider of the embedded assistant's model, or of the first model cost.
--   model_name: That model.
--   outcome: completed, expired or open, as in session_facts.
--   assistant: Label of the assistant: its latest known name, or its id.
--   started_at: Time of the first spoken message, or created_at if that message has no time; null if nothing was spoken.
--   last_message_at: End of the last spoken message; its first_seen_at if it has no time.
--   duration_seconds: From the first to the last time of a spoken message: a lower bound; null if no message has a time.
--   duration_at_most_seconds: From started_at to last_message_at: an upper bound.
--   turn_count: The number of rows that the session has in the view turns.
--   last_speaker: Who spoke last: customer or assistant; null if nothing was spoken.
--   first_customer_text: What the customer said first.
--   unanswered_tool_call_count: Tool calls that no tool message answers.
--   tools_used: Names of the functions called, each once, in alphabetical order; empty if there is none.
--   tool_call_count: Tool calls in all messages.
--   cost_usd: Total cost in USD; null while pending.
--   cost_pending: Whether the session has no price yet; then cost_usd is null.
--   pending_component_count: Cost components without a price.
--   structured_outputs: JSON {name: result}; the id instead of a name that is missing or repeated in the session.
CREATE OR REPLACE VIEW session_summary AS
WITH
message_speaker AS (
    SELECT
        session_id,
        session_created_at,
        message_index,
        content,
        COALESCE(content, refusal) AS text,
        sent_at,
        COALESCE(ended_at, sent_at) AS over_at,
        first_seen_at,
        CASE
            WHEN role = 'user' THEN 'customer'
            WHEN role IN ('assistant', 'bot') AND (text BETWEEN '!' AND '~' OR TRIM(text) <> '') THEN 'assistant'  -- the first is faster
        END AS speaker
    FROM messages
),
conversation AS (
    SELECT
        session_id,
        session_created_at,
        ARG_MIN_NULL(sent_at, message_index) AS first_sent_at,
        ARG_MAX(COALESCE(over_at, first_seen_at), message_index) AS last_message_at,
        EPOCH(MAX(over_at) - MIN(sent_at)) AS duration_seconds,
        ARG_MAX(speaker, message_index) AS last_speaker,
        ARG_MIN(content, message_index) FILTER (WHERE speaker = 'customer') AS first_customer_text,
        -- who spoke, in order: '0 11 21 30 41 ', where a number ends in 1 for the customer. Numbers are sorted faster than
        -- a window would be, or texts by an aggregate.
        LIST_SORT(LIST(message_index * 10 + CAST(speaker = 'customer' AS INTEGER))) AS speakers,
        LEN(REGEXP_EXTRACT_ALL(ARRAY_TO_STRING(speakers, ' ') || ' ', '([0-9]*1 )+')) AS turn_count
    FROM message_speaker
    WHERE speaker IS NOT NULL
    GROUP BY session_id, session_created_at
),
tools AS (
    SELECT
        session_id,
        session_created_at,
        LIST(DISTINCT function_name ORDER BY function_name) FILTER (WHERE function_name IS NOT NULL) AS tools_used,
        COUNT(*) FILTER (WHERE result_message_index IS NULL) AS unanswered_tool_call_count
    FROM tool_calls
    GROUP BY session_id, session_created_at
),
components AS (
    SELECT
        session_id,
        session_created_at,
        COUNT(*) FILTER (WHERE cost_usd IS NULL) AS pending_component_count
    FROM costs
    GROUP BY session_id, session_created_at
),
named_outputs AS (
    SELECT
        session_id,
        session_created_at,
        CASE
            WHEN name IS NULL OR COUNT(*) OVER (PARTITION BY session_id, session_created_at, name) > 1
            THEN structured_output_id
            ELSE name
        END AS output_name,
        structured_output_id,
        result
    FROM structured_outputs
),
outputs AS (
    SELECT
        session_id,
        session_created_at,
        -- JSON_GROUP_OBJECT accepts no ORDER BY, and a MAP no repeated name, which the source could send
        CAST(
            '{' || STRING_AGG(
                TO_JSON(output_name) || ':' || COALESCE(result, 'null'),
                ',' ORDER BY output_name, structured_output_id
            ) || '}' AS JSON
        ) AS structured_outputs
    FROM named_outputs
    GROUP BY session_id, session_created_at
)
SELECT
    s.session_id,
    s.name,
    s.status,
    f.outcome,
    s.created_at,
    s.updated_at,
    s.assistant_id,
    s.assistant_name,
    f.assistant,
    s.squad_id,
    s.squad_name,
    s.model_provider,
    s.model_name,
    s.customer_id,
    s.customer_name,
    s.customer_number,
    CASE WHEN c.session_id IS NOT NULL THEN COALESCE(c.first_sent_at, s.created_at) END AS started_at,
    c.last_message_at,
    c.duration_seconds,
    EPOCH(c.last_message_at - COALESCE(c.first_sent_at, s.created_at)) AS duration_at_most_seconds,
    s.message_count,
    s.user_message_count,
    s.assistant_message_count,
    COALESCE(c.turn_count, 0) AS turn_count,
    c.last_speaker,
    c.first_customer_text,
    s.tool_call_count,
    COALESCE(t.unanswered_tool_call_count, 0) AS unanswered_tool_call_count,
    COALESCE(t.tools_used, []) AS tools_used,
    s.cost_usd,
    s.cost_usd IS NULL AS cost_pending,
    COALESCE(p.pending_component_count, 0) AS pending_component_count,
    o.structured_outputs,
    s.deleted_at,
    s.aged_out_at
FROM sessions AS s
JOIN session_facts AS f ON f.session_id = s.session_id AND f.created_at = s.created_at
LEFT JOIN conversation AS c ON c.session_id = s.session_id AND c.session_created_at = s.created_at
LEFT JOIN tools AS t ON t.session_id = s.session_id AND t.session_created_at = s.created_at
LEFT JOIN components AS p ON p.session_id = s.session_id AND p.session_created_at = s.created_at
LEFT JOIN outputs AS o ON o.session_id = s.session_id AND o.session_created_at = s.created_at;
