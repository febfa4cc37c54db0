INSERT INTO crewsnow_ops.e2e_tests
    (name, criterion, function, role, claims, time_limit, registered_by, registered_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, pg_catalog.clock_timestamp())
ON CONFLICT (name) DO UPDATE SET
    criterion = EXCLUDED.criterion,
    function = EXCLUDED.function,
    role = EXCLUDED.role,
    claims = EXCLUDED.claims,
    time_limit = EXCLUDED.time_limit,
    registered_by = EXCLUDED.registered_by,
    registered_at = EXCLUDED.registered_at
