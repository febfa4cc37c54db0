-- $1 text[]: commands. One row for each that the caller may not run: its position, and the role
-- that may. A command that is not known here counts as allowed.
WITH
caller AS (
    SELECT r.oid, r.rolname, r.rolsuper, r.rolreplication
    FROM pg_roles AS r
    WHERE r.rolname = current_user AND NOT r.rolsuper
),
commands AS (
    SELECT u.position,
        regexp_replace(u.command, '^\\connect .*? \\\\ ', '') AS statement,
        u.command LIKE '\\connect %' AS is_elsewhere
    FROM unnest($1) WITH ORDINALITY AS u (command, position)
),
-- The relation that a statement names first, quoted as regclass quotes it.
objects AS (
    SELECT c.position, c.statement, CASE WHEN NOT c.is_elsewhere THEN substring(c.statement FROM
        '^(?:VACUUM|ANALYZE|REINDEX|ALTER|DROP|REFRESH)(?: \([^)]*\))?'
        '(?: TABLE| SEQUENCE| INDEX| MATERIALIZED VIEW| CONCURRENTLY| IF EXISTS)* '
        '((?:"(?:[^"]|"")+"|[^\s;("]+?)(?:\.(?:"(?:[^"]|"")+"|[^\s;("]+?))?)(?=[\s;(])') END AS name
    FROM commands AS c
    WHERE c.statement !~ '^ALTER (SYSTEM|DATABASE|ROLE|SUBSCRIPTION|EXTENSION)'
),
sessions AS (
    SELECT c.position, m.function[1] AS function, s.usesysid,
        coalesce(r.rolsuper, true) AS is_superuser
    FROM commands AS c
    CROSS JOIN LATERAL (
        SELECT ARRAY[x[1], x[2]] AS function
        FROM regexp_matches(c.statement, '(terminate_session|cancel_session)\((\d+)', 'g') AS x
        UNION ALL
        SELECT ARRAY[x[1], x[2]]
        FROM regexp_matches(c.statement,
            '(pg_terminate_backend|pg_cancel_backend)\(pid\).* pid = (\d+)', 'g') AS x
    ) AS m
    JOIN pg_stat_activity AS s ON s.pid = m.function[2]::integer
    LEFT JOIN pg_roles AS r ON r.oid = s.usesysid
),
needed AS (
    SELECT c.position, CASE
        WHEN s.is_superuser THEN 'a superuser'
        WHEN s.function LIKE '%_session' THEN
            CASE WHEN NOT has_function_privilege(
                    format('crewsnow_ops.%s(integer,timestamptz)', s.function), 'EXECUTE')
                THEN 'a role with the access level operator' END
        WHEN s.function LIKE 'pg_%' THEN
            CASE WHEN NOT pg_has_role('pg_signal_backend', 'USAGE')
                    AND NOT pg_has_role(s.usesysid, 'USAGE')
                THEN 'a role with pg_signal_backend' END
        WHEN c.statement ~ '(terminate|cancel)_session\(pid,' THEN
            CASE WHEN NOT has_function_privilege(format('crewsnow_ops.%s(integer,timestamptz)',
                    substring(c.statement FROM '(?:terminate|cancel)_session')), 'EXECUTE')
                THEN 'a role with the access level operator' END
        WHEN c.statement ~ 'pg_(terminate|cancel)_backend\(pid\)' THEN
            CASE WHEN NOT pg_has_role('pg_signal_backend', 'USAGE')
                THEN 'a role with pg_signal_backend' END
        WHEN c.statement LIKE 'GRANT %' THEN 'a superuser'
        WHEN c.statement LIKE 'ALTER SYSTEM %' THEN
            CASE WHEN NOT has_parameter_privilege(
                    substring(c.statement FROM '^ALTER SYSTEM (?:RE)?SET ([\w.]+)'), 'ALTER SYSTEM')
                    OR NOT has_function_privilege('pg_reload_conf()', 'EXECUTE')
                THEN 'a superuser' END
        WHEN c.statement ~ '^(ALTER ROLE|(ALTER|DROP) SUBSCRIPTION|(CREATE|ALTER) EXTENSION) '
            THEN 'a superuser'
        WHEN p.gid IS NOT NULL THEN
            CASE WHEN p.owner <> caller.rolname THEN format('%s or a superuser', p.owner) END
        WHEN c.statement LIKE 'SELECT pg_drop_replication_slot%' THEN
            CASE WHEN NOT caller.rolreplication
                THEN 'a superuser or a role with REPLICATION' END
        WHEN c.statement LIKE 'SELECT pg_wal_replay_resume%' THEN
            CASE WHEN NOT has_function_privilege('pg_wal_replay_resume()', 'EXECUTE')
                THEN 'a superuser' END
        WHEN d.datdba IS NOT NULL THEN
            CASE WHEN NOT pg_has_role(d.datdba, 'USAGE')
                THEN format('%s or a superuser', d.datdba::regrole) END
        WHEN t.relowner IS NOT NULL THEN
            CASE WHEN NOT pg_has_role(t.relowner, 'USAGE')
                THEN format('%s or a superuser', t.relowner::regrole) END
    END AS role
    FROM commands AS c
    CROSS JOIN caller
    LEFT JOIN LATERAL (
        SELECT x.function, x.usesysid, x.is_superuser
        FROM sessions AS x
        WHERE x.position = c.position
        ORDER BY x.is_superuser DESC
        LIMIT 1
    ) AS s ON true
    LEFT JOIN pg_prepared_xacts AS p
        ON strpos(c.statement, format('ROLLBACK PREPARED %L;', p.gid)) > 0
    LEFT JOIN pg_database AS d ON strpos(c.statement, format('ALTER DATABASE %I ', d.datname)) > 0
        OR c.statement = format('REINDEX DATABASE CONCURRENTLY %I;', d.datname)
        OR (c.statement ~ '^VACUUM( \([^)]*\))?;' AND d.datname = current_database())
    LEFT JOIN objects AS o ON o.position = c.position
    LEFT JOIN pg_class AS t ON t.oid = to_regclass(o.name)
)
SELECT n.position::integer, min(n.role)
FROM needed AS n
WHERE n.role IS NOT NULL
GROUP BY n.position
