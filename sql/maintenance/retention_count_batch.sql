-- $1 uuid: a run, $2 integer: its step, $3 bigint: rows that a batch has changed.
UPDATE crewsnow_ops.retention_runs AS r
SET changed_rows = r.changed_rows + $3, batches = r.batches + 1
WHERE r.run_id = $1 AND r.step = $2 AND r.verdict = 'STARTED'
