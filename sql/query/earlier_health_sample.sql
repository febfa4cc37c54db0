-- The counters of about five minutes ago, at least of half a minute ago
SELECT s.sampled_at, s.counters::text
FROM crewsnow_ops.health_samples AS s
WHERE s.sampled_at BETWEEN clock_timestamp() - interval '1 hour' AND clock_timestamp() - interval '30 seconds'
    AND (s.counters ->> 'in_recovery')::boolean = pg_is_in_recovery()
ORDER BY abs(extract(epoch FROM clock_timestamp() - interval '5 minutes' - s.sampled_at))
LIMIT 1
