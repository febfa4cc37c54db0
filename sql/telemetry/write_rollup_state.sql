-- $1 coverage, $2 system identifier, $3 database, $4 and $5 mark, $6 and $7 newer mark, $8 strays
UPDATE crewsnow_ops.rollup_state
SET covered = $1::text::pg_snapshot, system_identifier = $2, database = $3,
    rolled_up_at = clock_timestamp(),
    mark_tx = $4, mark_lsn = '0/0'::pg_lsn + $5::bigint, newer_mark_tx = $6,
        newer_mark_lsn = '0/0'::pg_lsn + $7::bigint, has_strays = $8
