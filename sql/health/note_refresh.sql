-- Runs in an event trigger: records the materialized views that the command filled. Dropped views
-- are removed, because their OIDs may be reused. Rows that another session is removing are skipped.
-- The command holds a lock on its view, so no other session writes the view's own row.
WITH
free AS MATERIALIZED (
    SELECT r.ctid FROM crewsnow_ops.matview_refreshes AS r
    WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = r.relid AND c.relkind = 'm')
    FOR UPDATE SKIP LOCKED
),
dropped AS (
    DELETE FROM crewsnow_ops.matview_refreshes AS r
    WHERE r.ctid = ANY (ARRAY(SELECT f.ctid FROM free AS f))
)
INSERT INTO crewsnow_ops.matview_refreshes AS r (relid, refreshed_at)
SELECT DISTINCT c.oid, clock_timestamp()
FROM pg_event_trigger_ddl_commands() AS e
JOIN pg_class AS c ON e.classid = 'pg_class'::regclass AND c.oid = e.objid AND c.relkind = 'm'
    AND c.relispopulated
-- A second refresh within a minute is an operator's repetition and no interval.
ON CONFLICT (relid) DO UPDATE SET refreshed_at = excluded.refreshed_at,
    intervals = CASE WHEN excluded.refreshed_at - r.refreshed_at < interval '1 minute'
        THEN r.intervals
        ELSE ((excluded.refreshed_at - r.refreshed_at) || r.intervals)[:5] END
