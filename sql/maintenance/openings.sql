-- The window that is open now and the ones to come, in order. At least one row: without windows
-- is_defined is false, and without an opening the other columns are NULL.
SELECT EXISTS (SELECT FROM crewsnow_ops.maintenance_windows) AS is_defined, o.name, o.starts_at,
    o.ends_at
FROM (SELECT clock_timestamp() AS now) AS c
LEFT JOIN LATERAL (
    SELECT o.name, o.starts_at, o.ends_at
    FROM crewsnow_ops.maintenance_occurrences(c.now, c.now + interval '9600 hours') AS o
    WHERE NOT o.is_cancelled
) AS o ON true
ORDER BY o.starts_at
