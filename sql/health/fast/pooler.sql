-- Limits: no idle session of a pooler (ours). The server does not see the clients that wait in a
-- pooler. A pool with an idle session has no queue.
WITH
pools AS (
    SELECT s.usename, s.datname, count(*) AS sessions,
        count(*) FILTER (WHERE s.state = 'idle') AS idle,
        count(*) FILTER (WHERE s.state IS NULL OR s.state = 'disabled') AS unknown
    FROM pg_stat_activity AS s
    WHERE s.pid <> pg_backend_pid()
        AND s.application_name ~* '(pgbouncer|supavisor|odyssey|pgcat|pgpool|pgdog)'
    GROUP BY s.usename, s.datname
),
used AS (
    SELECT p.*, row_number() OVER (ORDER BY p.sessions DESC, p.usename, p.datname) AS rank
    FROM pools AS p
    WHERE p.idle = 0
)
SELECT
    'SKIPPED' AS status, format('pool of %s in %s', u.usename, u.datname) AS object,
    CASE WHEN u.unknown = 0 THEN format('%s of %s sessions in use', u.sessions, u.sessions) END
        AS current_value,
    'an idle session' AS threshold,
    'no session of the pool is idle: clients may wait, and only the pooler sees them' AS evidence,
    'Ask the pooler: SHOW POOLS of PgBouncer has cl_waiting and maxwait. A queue means too small a '
        'pool or transactions that stay open.' AS recommendation,
    'SELECT * FROM crewsnow_ops.connections ORDER BY idle_in_transaction DESC LIMIT 20;'
        AS next_command,
    'now' AS since
FROM used AS u
WHERE u.rank <= 5
UNION ALL
SELECT 'OK', NULL,
    CASE WHEN EXISTS (SELECT FROM pools) THEN 'each pool has an idle session'
        ELSE 'no pooler recognized' END,
    'an idle session',
    'clients that wait in a pooler are visible only there, as SHOW POOLS of PgBouncer',
    'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM used)
