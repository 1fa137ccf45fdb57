-- Which values did the structured outputs take? Grain: one row an output, a field (objects) or an element (lists).
-- An object gives one row a field, a list one row an element, and a list in a field also one row an element. Deeper values
-- stay whole. An empty object or list gives one row. Count distinct sessions, not rows: a list can hold a value twice.
-- Outputs of deleted and aged-out sessions are included; deleted_at and aged_out_at tell them apart.
-- Columns:
--   name: The output's name, for example CSAT.
--   field: The field of the object that holds the value; null if the result is not an object.
--   position: The position in the list that holds the value, from 0; null if it is not in a list.
--   kind: text, number, boolean, list, object or null. A number in quotes is text.
--   value_text: The value as text, for every kind but null.
--   value_number: The value, if it is a number.
--   value_boolean: The value, if it is true or false.
CREATE OR REPLACE VIEW structured_output_values AS
WITH
-- the CASE guards are there because json_each accepts both objects and lists
fields AS (
    SELECT
        o.session_id,
        o.session_created_at,
        o.structured_output_id,
        o.name,
        f.key AS field,
        CASE WHEN f.key IS NULL THEN o.result ELSE f.value END AS value
    FROM structured_outputs AS o
    LEFT JOIN LATERAL (
        SELECT key, value FROM JSON_EACH(CASE WHEN JSON_TYPE(o.result) = 'OBJECT' THEN o.result END)
    ) AS f ON TRUE
),
elements AS (
    SELECT
        f.* EXCLUDE (value),
        CAST(e.key AS INTEGER) AS position,
        CASE WHEN e.key IS NULL THEN f.value ELSE e.value END AS value
    FROM fields AS f
    LEFT JOIN LATERAL (
        SELECT key, value FROM JSON_EACH(CASE WHEN JSON_TYPE(f.value) = 'ARRAY' THEN f.value END)
    ) AS e ON TRUE
),
kinds AS (
    SELECT
        *,
        CASE JSON_TYPE(value)
            WHEN 'VARCHAR' THEN 'text'
            WHEN 'BOOLEAN' THEN 'boolean'
            WHEN 'ARRAY' THEN 'list'
            WHEN 'OBJECT' THEN 'object'
            WHEN 'NULL' THEN 'null'
            ELSE CASE WHEN value IS NULL THEN 'null' ELSE 'number' END
        END AS kind
    FROM elements
)
SELECT
    v.session_id,
    v.session_created_at,
    s.assistant_id,
    s.assistant_name,
    v.structured_output_id,
    v.name,
    v.field,
    v.position,
    v.kind,
    CASE WHEN v.kind <> 'null' THEN v.value ->> '$' END AS value_text,
    CASE WHEN v.kind = 'number' THEN TRY_CAST(v.value ->> '$' AS DOUBLE) END AS value_number,
    CASE WHEN v.kind = 'boolean' THEN TRY_CAST(v.value ->> '$' AS BOOLEAN) END AS value_boolean,
    s.deleted_at,
    s.aged_out_at
FROM kinds AS v
LEFT JOIN sessions AS s ON s.session_id = v.session_id AND s.created_at = v.session_created_at;
