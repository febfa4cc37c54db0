-- $1 counters, of which the list of slow statements is not kept. Not sooner than five seconds after the last.
INSERT INTO crewsnow_ops.health_samples (sampled_at, counters)
SELECT clock_timestamp(), $1::jsonb - 'slow'
WHERE NOT EXISTS (
    SELECT FROM crewsnow_ops.health_samples AS s
    WHERE s.sampled_at > clock_timestamp() - interval '5 seconds' AND s.sampled_at <= clock_timestamp()
)
ON CONFLICT DO NOTHING
RETURNING sampled_at
