-- The freeze that is on, the one that lasts longest.
SELECT f.id::text, f.reason, f.created_by, pg_catalog.to_char(f.ends_at, 'YYYY-MM-DD HH24:MI TZ') FROM crewsnow_ops.freezes AS f
WHERE pg_catalog.clock_timestamp() >= f.starts_at AND pg_catalog.clock_timestamp() < f.ends_at ORDER BY f.ends_at DESC LIMIT 1
