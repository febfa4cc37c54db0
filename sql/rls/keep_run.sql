-- $1 audit id, $2 author, $3 and $4 findings and severities, $5 to $9 tables, reaches, roles,
-- verdicts and quals, $10 unmet requirements. Stores an audit and keeps the last hundred.
WITH
run AS (
    INSERT INTO crewsnow_ops.rls_runs (run, ran_by, unmet) VALUES ($1, $2, $10) RETURNING run
),
findings AS (
    INSERT INTO crewsnow_ops.rls_run_findings (run, finding, severity)
    SELECT r.run, f.finding, f.severity::crewsnow_ops.rls_severity
    FROM run AS r, unnest($3, $4) AS f (finding, severity)
),
verdicts AS (
    INSERT INTO crewsnow_ops.rls_run_verdicts (run, relation, reach, role, verdict, condition)
    SELECT r.run, v.relation, v.reach, v.role, v.verdict, v.condition
    FROM run AS r, unnest($5, $6, $7, $8, $9) AS v (relation, reach, role, verdict, condition)
),
old AS (
    SELECT o.run FROM crewsnow_ops.rls_runs AS o ORDER BY o.ran_at DESC OFFSET 99
),
old_findings AS (
    DELETE FROM crewsnow_ops.rls_run_findings AS f USING old AS o WHERE f.run = o.run
),
old_verdicts AS (
    DELETE FROM crewsnow_ops.rls_run_verdicts AS v USING old AS o WHERE v.run = o.run
)
DELETE FROM crewsnow_ops.rls_runs AS r USING old AS o WHERE r.run = o.run
