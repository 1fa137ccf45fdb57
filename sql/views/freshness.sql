-- How up to date is the warehouse? Grain: one row a warehouse; none before the first sync.
-- Columns:
--   complete_until: all changes at the source before this time have been read.
CREATE OR REPLACE VIEW freshness AS
SELECT i.upper_bound AS complete_until
FROM sync.intervals AS i
JOIN sync.state AS o ON o.key = 'origin'
WHERE i.lower_bound <= MAKE_TIMESTAMPTZ(CAST(o.value AS BIGINT)) AND i.upper_bound > MAKE_TIMESTAMPTZ(CAST(o.value AS BIGINT));
