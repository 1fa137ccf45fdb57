-- How do the structured outputs develop? Grain: one row a day of session creation, output name and field.
-- Elements of lists count one by one, without their position. Outputs of deleted and aged-out sessions count.
-- Columns:
--   day: The day on which the sessions were created.
--   name: The output's name; its id if it has no name.
--   field: The field of the object that holds the value; null if the result is not an object.
--   value_count: Values that are not null, of all kinds.
--   session_count: Sessions with such a value.
--   mean_number: Average of the numbers; null if there is none.
--   median_number: Median of the numbers.
--   true_share: Share of true among the values that are true or false; null if there is none.
--   most_common_text: The most frequent text; of equally frequent ones the first in order. Null if no value is text.
CREATE OR REPLACE VIEW structured_output_trends AS
WITH
dated AS (
    SELECT
        CAST(session_created_at AT TIME ZONE 'UTC' AS DATE) AS day,
        COALESCE(name, structured_output_id) AS name,
        field,
        session_id,
        kind,
        value_text,
        value_number,
        value_boolean
    FROM structured_output_values
),
grouped AS (
    SELECT
        day,
        name,
        field,
        COUNT(*) FILTER (WHERE kind <> 'null') AS value_count,
        COUNT(DISTINCT session_id) FILTER (WHERE kind <> 'null') AS session_count,
        -- a sum depends on the order of rows in its last bits: rounded first, so that the average does not
        ROUND(ROUND(FSUM(value_number), 9) / COUNT(value_number), 6) AS mean_number,
        ROUND(MEDIAN(value_number), 6) AS median_number,
        ROUND(AVG(CAST(value_boolean AS INTEGER)), 6) AS true_share
    FROM dated
    GROUP BY day, name, field
),
texts AS (
    SELECT day, name, field, value_text, COUNT(*) AS text_count
    FROM dated
    WHERE kind = 'text'
    GROUP BY day, name, field, value_text
),
common_texts AS (
    SELECT day, name, field, FIRST(value_text ORDER BY text_count DESC, value_text) AS most_common_text
    FROM texts
    GROUP BY day, name, field
)
SELECT g.*, c.most_common_text
FROM grouped AS g
LEFT JOIN common_texts AS c ON c.day = g.day AND c.name = g.name AND c.field IS NOT DISTINCT FROM g.field;
