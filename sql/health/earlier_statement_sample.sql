-- The statement sample closest to 15 minutes ago, at least 30 seconds old. None on a standby,
-- because its samples are those of the primary.
SELECT s.sampled_at, s.queryids, s.dbids, s.calls, s.exec_ms
FROM crewsnow_ops.statement_samples AS s
WHERE s.sampled_at BETWEEN clock_timestamp() - interval '2 hours'
        AND clock_timestamp() - interval '30 seconds'
    AND NOT pg_is_in_recovery()
ORDER BY abs(extract(epoch FROM clock_timestamp() - interval '15 minutes' - s.sampled_at))
LIMIT 1
