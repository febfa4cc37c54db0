-- The counter sample closest to five minutes ago, at least 30 seconds old, with its age in seconds
SELECT s.sampled_at, s.counters::text, extract(epoch FROM clock_timestamp() - s.sampled_at)::float8
FROM crewsnow_ops.health_samples AS s
WHERE s.sampled_at BETWEEN clock_timestamp() - interval '1 hour'
        AND clock_timestamp() - interval '30 seconds'
    AND (s.counters ->> 'in_recovery')::boolean = pg_is_in_recovery()
ORDER BY abs(extract(epoch FROM clock_timestamp() - interval '5 minutes' - s.sampled_at))
LIMIT 1
