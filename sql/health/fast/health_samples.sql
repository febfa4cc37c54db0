-- Age of the latest sample. Limit: five minutes (ours), the period over which rates are computed.
SELECT
    CASE WHEN s.age < interval '5 minutes' THEN 'OK' ELSE 'SKIPPED' END AS status,
    NULL::text AS object,
    CASE WHEN s.age IS NULL THEN 'no sample'
        WHEN s.age < interval '2 minutes' THEN format('%s s old', round(extract(epoch FROM s.age)))
        ELSE format('%s min old', floor(extract(epoch FROM s.age) / 60))
    END AS current_value,
    '< 5 min' AS threshold,
    CASE WHEN s.age IS NULL THEN 'no sample of the last hour: rates cover the whole lifetime'
        WHEN s.age >= interval '5 minutes' THEN 'no job takes samples any more: rates are outdated'
        ELSE 'rates cover the time since an earlier sample'
    END AS evidence,
    CASE WHEN s.age < interval '5 minutes' THEN 'Nothing to do.'
        ELSE 'Call sample_health() every 10 to 60 seconds: without samples no check knows the last '
            || 'minutes.'
    END AS recommendation,
    CASE WHEN s.age < interval '5 minutes' THEN NULL
        ELSE 'SELECT crewsnow_ops.sample_health();'
    END AS next_command,
    'now' AS since
FROM (
    SELECT clock_timestamp() - max(h.sampled_at) AS age
    FROM crewsnow_ops.health_samples AS h
    WHERE h.sampled_at > clock_timestamp() - interval '1 hour'
) AS s
