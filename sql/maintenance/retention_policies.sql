-- $1 text: a policy, NULL for all; $2 timestamptz: the begin of the run. The cutoff is at least a
-- day old: an interval such as 1 month -29 days can be shorter.
SELECT p.name, p.target, p.time_column, p.action, p.replacements, p.hold, p.cascades_to,
    p.batch_rows, p.max_rows, p.is_enabled, p.defined_by,
    least(($2 AT TIME ZONE 'UTC' - p.keep) AT TIME ZONE 'UTC', $2 - interval '24 hours')
FROM crewsnow_ops.retention_policies AS p
WHERE p.name = $1 OR $1 IS NULL
ORDER BY p.name
