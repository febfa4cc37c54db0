-- Limits: 80 % (awesome-prometheus-alerts) and 95 % (check_postgres) of the unreserved connection
-- slots. A role without pg_read_all_stats also counts background workers: its figure is an upper
-- bound.
WITH
sessions AS (
    SELECT s.*,
        coalesce(s.backend_type, 'client backend') = 'client backend'
            AND s.usesysid IS NOT NULL AS is_client
    FROM pg_stat_activity AS s
),
slots AS (
    SELECT
        current_setting('max_connections')::integer
            - current_setting('superuser_reserved_connections')::integer
            - coalesce(current_setting('reserved_connections', true), '0')::integer AS slots,
        count(*) FILTER (WHERE s.is_client) AS used,
        count(*) FILTER (WHERE s.is_client AND s.state = 'active') AS active,
        count(*) FILTER (WHERE s.is_client AND s.state = 'idle') AS idle,
        count(*) FILTER (WHERE s.is_client AND s.state LIKE 'idle in transaction%')
            AS idle_in_transaction,
        count(*) FILTER (WHERE s.is_client AND s.state = 'disabled') AS unknown,
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all
    FROM sessions AS s
),
top_application AS (
    SELECT s.application_name, count(*) AS sessions
    FROM sessions AS s
    WHERE s.is_client AND s.application_name <> ''
    GROUP BY s.application_name
    ORDER BY count(*) DESC, s.application_name
    LIMIT 1
),
used AS (
    SELECT 0 AS level,
        CASE WHEN 2 * t.sessions > p.used THEN 'application ' || t.application_name END AS object,
        p.used, p.slots,
        CASE WHEN 2 * t.sessions > p.used
            THEN format('SELECT * FROM crewsnow_ops.disconnect_sessions(p_application => %L);',
                t.application_name)
            ELSE 'SELECT * FROM crewsnow_ops.connections ORDER BY connections DESC LIMIT 20;'
        END AS limit_command,
        CASE WHEN p.sees_all
            THEN format('%s active, %s idle, %s idle in transaction', p.active, p.idle,
                p.idle_in_transaction)
                || CASE WHEN p.unknown > 0 THEN format(', %s unknown', p.unknown) ELSE '' END
            ELSE 'states are hidden without pg_read_all_stats; background workers count as sessions'
        END
            || (SELECT coalesce('; most from ' || string_agg(t.label, ', '), '') FROM (
                SELECT format('%s (%s)', coalesce(nullif(s.usename::text, ''), '?'), count(*))
                    AS label
                FROM sessions AS s
                WHERE s.is_client GROUP BY s.usename ORDER BY count(*) DESC LIMIT 3) AS t)
                    AS evidence
    FROM slots AS p
    LEFT JOIN top_application AS t ON true
    UNION ALL
    SELECT 1, 'role ' || r.rolname, count(s.pid), r.rolconnlimit,
        format('ALTER ROLE %I CONNECTION LIMIT %s;', r.rolname, r.rolconnlimit * 2),
        'CONNECTION LIMIT of the role'
    FROM pg_roles AS r
    JOIN sessions AS s ON s.usesysid = r.oid AND s.is_client
    WHERE r.rolconnlimit > 0 AND NOT r.rolsuper
    GROUP BY r.oid, r.rolname, r.rolconnlimit
    UNION ALL
    SELECT 1, 'database ' || d.datname, count(s.pid), d.datconnlimit,
        format('ALTER DATABASE %I CONNECTION LIMIT %s;', d.datname, d.datconnlimit * 2),
        'CONNECTION LIMIT of the database'
    FROM pg_database AS d
    JOIN sessions AS s ON s.datid = d.oid AND s.is_client
    WHERE d.datconnlimit > 0
    GROUP BY d.oid, d.datname, d.datconnlimit
),
judged AS (
    SELECT u.*, round(100.0 * u.used / greatest(u.slots, 1)) AS percent,
        CASE WHEN u.used >= @connections.critical@ / 100.0 * u.slots THEN 'CRITICAL'
            WHEN u.used >= @connections.warning@ / 100.0 * u.slots THEN 'WARNING' ELSE 'OK' END
            AS status
    FROM used AS u
)
SELECT
    j.status, CASE WHEN j.status <> 'OK' THEN j.object END AS object,
    format('%s (%s %%)', j.used, j.percent) AS current_value,
    format('< @connections.warning@ %% of %s', j.slots) AS threshold, j.evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        WHEN j.level = 0 AND j.object IS NOT NULL
            THEN 'The server will soon refuse logins, and one application has most sessions. The '
                'command lists them; with p_dry_run => false it ends them. Then limit its pool.'
        ELSE 'The server will soon refuse logins: disconnect idle sessions, find the client that '
            'opens too many, add a pooler.'
    END AS recommendation,
    CASE WHEN j.status <> 'OK' THEN j.limit_command END AS next_command,
    'now' AS since
FROM judged AS j
WHERE j.level = 0 OR j.status <> 'OK'
ORDER BY j.level, j.percent DESC
LIMIT 5
