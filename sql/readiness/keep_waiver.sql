INSERT INTO crewsnow_ops.waivers
    (id, criterion, release, reason, requested_by, requested_at, expires_at)
VALUES ($1, $2, $3, $4, $5, pg_catalog.clock_timestamp(), $6) RETURNING criterion
