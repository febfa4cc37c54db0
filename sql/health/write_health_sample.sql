-- $1 counters; the list of slow statements in them is not kept. At most one sample in five seconds.
INSERT INTO crewsnow_ops.health_samples (sampled_at, counters)
SELECT clock_timestamp(), $1::jsonb - 'slow'
WHERE NOT EXISTS (
    SELECT FROM crewsnow_ops.health_samples AS s
    WHERE s.sampled_at > clock_timestamp() - interval '5 seconds'
        AND s.sampled_at <= clock_timestamp()
)
ON CONFLICT DO NOTHING
RETURNING sampled_at
