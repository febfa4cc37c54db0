-- $1 covered, $2 system identifier, $3 database
UPDATE crewsnow_ops.rollup_state
SET covered = $1::text::pg_snapshot, system_identifier = $2, database = $3, rolled_up_at = clock_timestamp()
