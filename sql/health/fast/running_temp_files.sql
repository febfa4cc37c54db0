-- $1 processes and $2 bytes of their temporary files: arrays of equal length; $3 free bytes of the
-- disk
-- Limits: 256 MB of one statement, its parallel workers included, unless it is maintenance; or more
-- than a tenth of the space that is left. Critical if it takes more than is left (ours). 64 MB are
-- never a fault of the disk.
WITH
files AS (
    SELECT f.pid, f.bytes FROM unnest($1, $2) AS f (pid, bytes)
),
sessions AS (
    SELECT coalesce(s.leader_pid, f.pid) AS pid, sum(f.bytes) AS bytes
    FROM files AS f
    LEFT JOIN pg_stat_activity AS s ON s.pid = f.pid
    GROUP BY 1
),
ranked AS (
    SELECT f.pid, f.bytes, s.pid IS NULL AS is_gone, s.backend_start, s.usename,
        s.application_name, s.datname, s.query_start, s.query, s.backend_type,
        row_number() OVER (ORDER BY f.bytes DESC) AS rank, count(*) OVER () AS total
    FROM sessions AS f
    LEFT JOIN pg_stat_activity AS s ON s.pid = f.pid
    WHERE (f.bytes >= @temp_files.session@ * 1048576.0
            AND coalesce(s.query, '')
                !~* '^\s*(create\s+(unique\s+)?index|reindex|cluster|alter)\M')
        OR (f.bytes >= 67108864 AND f.bytes >= 0.1 * $3)
)
SELECT
    CASE WHEN r.bytes >= 67108864 AND r.bytes >= $3 THEN 'CRITICAL' ELSE 'WARNING' END AS status,
    format('pid %s', r.pid) AS object,
    pg_size_pretty(r.bytes) || ' now' AS current_value,
    '< ' || pg_size_pretty((@temp_files.session@ * 1048576.0)::bigint) || ' a statement'
        AS threshold,
    CASE WHEN r.is_gone THEN 'the process is gone: a crash left its files behind'
        ELSE format(E'user %s, application %s, database %s, statement since %s; %s left '
                'on the disk%s\nquery: %s',
            r.usename, coalesce(nullif(r.application_name, ''), '(none)'), r.datname,
            r.query_start, pg_size_pretty($3),
            CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5) ELSE '' END,
            left(r.query, 300)) END AS evidence,
    CASE WHEN r.is_gone
        THEN 'The files take space until the next start of the server.'
        ELSE 'A sort or hash writes to disk and may fill it: cancel the statement, then give it '
            'more work_mem or fewer rows, and set temp_file_limit for its role.'
    END AS recommendation,
    CASE WHEN NOT r.is_gone
        THEN format(CASE WHEN pg_is_in_recovery() OR r.backend_type <> 'client backend'
                THEN 'SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity '
                    'WHERE pid = %s AND backend_start = %L;'
                ELSE 'SELECT crewsnow_ops.cancel_session(%s, %L);' END, r.pid,
            to_char(r.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00')
    END AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'SKIPPED', NULL, NULL, '< ' || pg_size_pretty((@temp_files.session@ * 1048576.0)::bigint)
        || ' a statement',
    'the temporary files of running statements are hidden from this role',
    'Grant pg_monitor to this role.', format('GRANT pg_monitor TO %I;', current_user), 'now'
WHERE NOT has_function_privilege('pg_ls_tmpdir()', 'EXECUTE')
