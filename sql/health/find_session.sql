-- $1 pid
SELECT s.pid, s.backend_start, s.usename::text, s.application_name, s.datname::text, s.state,
    s.backend_type, coalesce(r.rolsuper, false)
FROM pg_stat_activity AS s
LEFT JOIN pg_roles AS r ON r.oid = s.usesysid
WHERE s.pid = $1
