-- How fresh and how complete is the warehouse? Grain: one row a warehouse.
-- Views use complete_until for "now", so their results depend on the data only, not on when they are asked.
-- Deleted and aged-out sessions are included in all counts but unreadable_session_count; unreadable sessions are in no table.
-- Columns:
--   complete_until: All changes before this time have been read; null until the first sync has read a whole interval.
--   published_at: When the data files were written last.
--   time_zone: The time zone in which all views cut days.
--   session_count: Sessions in the warehouse.
--   pending_session_count: Sessions without a price yet.
--   deleted_session_count: Sessions that the source has deleted.
--   aged_out_session_count: Sessions that the source no longer lists, by retention.
--   unreadable_session_count: Sessions that the source lists and that could not be read (sync.unreadable).
--   gap_count: Intervals of updatedAt before the newest one that have not been read; 0 is good.
--   last_run_at: When the newest run of a sync, backfill or reconcile started.
--   last_run_command: The command of that run.
--   last_run_outcome: running, done, failed, interrupted or killed.
--   last_success_at: When the last successful sync or backfill ended.
--   last_reconcile_at: When the last successful reconcile ended; deletions are known up to then.
--   failing_check_count: Checks that found rows when they ran last; null if none has run.
CREATE OR REPLACE VIEW freshness AS
WITH
facts AS (
    SELECT
        MAKE_TIMESTAMPTZ(CAST(MAX(value) FILTER (WHERE key = 'published_at') AS BIGINT)) AS published_at,
        MAKE_TIMESTAMPTZ(CAST(MAX(value) FILTER (WHERE key = 'origin') AS BIGINT)) AS origin,
        MAX(value) FILTER (WHERE key = 'time_zone') AS time_zone,
        MAX(value) FILTER (WHERE key = 'checks') AS checks,
        COUNT(*) AS fact_count
    FROM sync.state
),
-- The intervals do not touch, so there is one gap before each one that begins after the origin.
progress AS (
    SELECT
        MAX(i.upper_bound) FILTER (WHERE i.lower_bound <= f.origin AND f.origin < i.upper_bound) AS complete_until,
        COUNT(*) FILTER (WHERE i.lower_bound > f.origin) AS gap_count
    FROM sync.intervals AS i
    CROSS JOIN facts AS f
),
runs AS (
    SELECT
        MAX(started_at) AS last_run_at,
        ARG_MAX(command, (started_at, run_id)) AS last_run_command,
        ARG_MAX(outcome, (started_at, run_id)) AS last_run_outcome,
        MAX(finished_at) FILTER (
            WHERE outcome = 'done' AND SPLIT_PART(command, ' ', 1) IN ('sync', 'backfill')
        ) AS last_success_at,
        MAX(finished_at) FILTER (
            WHERE outcome = 'done' AND SPLIT_PART(command, ' ', 1) = 'reconcile'
        ) AS last_reconcile_at
    FROM sync.runs
),
unreadable AS (
    SELECT COUNT(*) AS unreadable_session_count FROM sync.unreadable
),
checks AS (
    SELECT COUNT(*) FILTER (WHERE failing_row_count > 0) AS failing_check_count
    FROM (SELECT UNNEST(CAST(JSON_EXTRACT(checks, '$.*') AS BIGINT[])) AS failing_row_count FROM facts)
),
counted AS (
    SELECT
        COUNT(*) AS session_count,
        COALESCE(SUM(message_count), 0)::BIGINT AS message_count,
        COUNT(*) FILTER (WHERE cost_usd IS NULL) AS pending_session_count,
        COUNT(deleted_at) AS deleted_session_count,
        COUNT(aged_out_at) AS aged_out_session_count
    FROM sessions
)
SELECT
    p.complete_until,
    f.published_at,
    f.time_zone,
    n.session_count,
    n.message_count,
    n.pending_session_count,
    n.deleted_session_count,
    n.aged_out_session_count,
    u.unreadable_session_count,
    p.gap_count,
    r.last_run_at,
    r.last_run_command,
    r.last_run_outcome,
    r.last_success_at,
    r.last_reconcile_at,
    CASE WHEN f.checks IS NOT NULL THEN c.failing_check_count END AS failing_check_count
FROM facts AS f
CROSS JOIN progress AS p
CROSS JOIN runs AS r
CROSS JOIN unreadable AS u
CROSS JOIN checks AS c
CROSS JOIN counted AS n
WHERE f.fact_count > 0;
