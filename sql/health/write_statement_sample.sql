-- At most one sample in 290 s, because it is large. A job that runs every five minutes may thus be
-- a moment early.
INSERT INTO crewsnow_ops.statement_samples (sampled_at, queryids, dbids, calls, exec_ms)
SELECT clock_timestamp(), s.queryids, s.dbids, s.calls, s.exec_ms
FROM (@sample@) AS s
WHERE s.queryids IS NOT NULL AND NOT EXISTS (
    SELECT FROM crewsnow_ops.statement_samples AS t
    WHERE t.sampled_at > clock_timestamp() - interval '290 seconds'
        AND t.sampled_at <= clock_timestamp()
)
ON CONFLICT DO NOTHING
