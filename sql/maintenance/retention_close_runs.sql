-- A run that was cancelled, or whose server crashed, cannot close its rows. The caller holds the
-- lock of a run, so no other run is alive.
UPDATE crewsnow_ops.retention_runs AS r
SET verdict = 'FAILED', detail = concat_ws(': ', 'the run ended before this step did', r.detail)
WHERE r.verdict = 'STARTED'
