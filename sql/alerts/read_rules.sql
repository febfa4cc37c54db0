-- The rules, or the one called $1. Durations in microseconds, the time limit in milliseconds
SELECT r.name, r.query, r.fires_when, r.warning, r.critical, r.warning_clears, r.critical_clears,
    (extract(epoch FROM r.fires_after) * 1000000)::bigint,
    (extract(epoch FROM r.clears_after) * 1000000)::bigint, r.min_samples, r.no_data,
    (extract(epoch FROM r.every) * 1000000)::bigint,
    (extract(epoch FROM r.time_limit) * 1000)::bigint, r.max_subjects::bigint,
    coalesce(r.alert_group, r.name), r.is_enabled, r.is_built_in, r.defined_by, r.updated_at
FROM crewsnow_ops.alert_rules AS r
WHERE r.name = $1 OR $1 IS NULL
ORDER BY r.name
