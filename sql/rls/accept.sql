-- $1 findings, or a table; $2 author, $3 reason, $4 expiry, $5 severity of each.
INSERT INTO crewsnow_ops.rls_acceptances (finding, accepted_by, reason, expires_at, severity)
    SELECT f.finding, $2, $3, $4, f.severity::crewsnow_ops.rls_severity
    FROM unnest($1, $5) AS f (finding, severity)
