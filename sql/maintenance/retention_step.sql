-- $1 uuid: a run, $2 integer: its step. The policy that the step applies, its cutoff, and the rows
-- that it may still change.
SELECT r.policy, r.cutoff, p.max_rows - r.changed_rows
FROM crewsnow_ops.retention_runs AS r
JOIN crewsnow_ops.retention_policies AS p ON p.name = r.policy AND p.is_enabled
WHERE r.run_id = $1 AND r.step = $2 AND r.verdict = 'STARTED'
