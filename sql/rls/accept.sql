INSERT INTO crewsnow_ops.rls_acceptances (finding, accepted_by, reason, expires_at, severity)
    VALUES ($1, $2, $3, $4, $5)
