-- $1 bigint: minutes that rows are kept
-- A run that was cancelled, or whose server crashed, cannot close its rows. The caller holds the
-- lock of a run, so no other run is alive; a worker that its leader left alone may be.
WITH old AS (
    DELETE FROM crewsnow_ops.maintenance_runs AS m
    WHERE m.started_at < clock_timestamp() - $1 * interval '1 minute'
)
UPDATE crewsnow_ops.maintenance_runs AS m
SET verdict = 'FAILED',
    detail = concat_ws(': ', 'the run ended before this step did', m.detail)
WHERE m.verdict = 'STARTED'
    AND m.started_at >= clock_timestamp() - $1 * interval '1 minute'
    AND NOT EXISTS (
        SELECT FROM pg_stat_get_activity(m.worker_pid) AS a
        WHERE coalesce(a.backend_start <= m.started_at, true)
    )
