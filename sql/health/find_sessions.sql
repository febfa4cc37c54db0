-- $1 role, $2 application, $3 database, $4 minimum age, each NULL for any; $5 includes superusers.
-- Client backends except this one, oldest first.
SELECT s.pid, s.backend_start, s.usename::text, s.application_name, s.datname::text, s.state,
    s.backend_type, coalesce(r.rolsuper, false)
FROM pg_stat_activity AS s
LEFT JOIN pg_roles AS r ON r.oid = s.usesysid
WHERE s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
    AND ($1 IS NULL OR s.usename = $1)
    AND ($2 IS NULL OR s.application_name = $2)
    AND ($3 IS NULL OR s.datname = $3)
    AND ($4 IS NULL OR s.backend_start < clock_timestamp() - $4)
    AND ($5 OR NOT coalesce(r.rolsuper, false))
ORDER BY s.backend_start
