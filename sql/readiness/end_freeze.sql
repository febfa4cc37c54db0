UPDATE crewsnow_ops.freezes AS f SET ends_at = pg_catalog.clock_timestamp()
WHERE f.id = $1 AND f.ends_at > pg_catalog.clock_timestamp() RETURNING f.reason
