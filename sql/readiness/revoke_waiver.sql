UPDATE crewsnow_ops.waivers AS w
SET revoked_by = $2, revoked_at = pg_catalog.clock_timestamp()
WHERE w.id = $1 AND w.revoked_at IS NULL AND w.expires_at > pg_catalog.clock_timestamp()
RETURNING w.criterion
