-- Limits: 300 s (pgEdge, pgFirstAid), critical 3600 s (pganalyze). Measured from state_change: the
-- time that the session has done nothing while its transaction holds locks and the xmin horizon.
WITH
findings AS (
    SELECT s.*, t.age,
        CASE WHEN t.age >= interval '@idle_in_transaction.critical@ s' THEN 'CRITICAL'
            ELSE 'WARNING' END AS status,
        row_number() OVER (ORDER BY t.age DESC) AS rank, count(*) OVER () AS total
    FROM pg_stat_activity AS s
    CROSS JOIN LATERAL (SELECT statement_timestamp() - s.state_change AS age) AS t
    WHERE s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
        AND t.age >= interval '@idle_in_transaction.warning@ s'
        AND s.state LIKE 'idle in transaction%'
),
visibility AS (SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all)
SELECT
    f.status, format('pid %s', f.pid) AS object, date_trunc('second', f.age)::text AS current_value,
    '< @idle_in_transaction.warning@ s' AS threshold,
    format('user %s, application %s, database %s, client %s, transaction since %s, %s',
            f.usename, coalesce(nullif(f.application_name, ''), '(none)'), f.datname,
            coalesce(f.client_addr::text, 'local'),
            f.xact_start,
            CASE WHEN f.backend_xid IS NULL THEN 'has written nothing' ELSE 'has written' END)
        || CASE WHEN f.wait_event_type = 'Lock' THEN ', waits for a lock' ELSE '' END
        || CASE WHEN f.rank = 1 AND f.total > 5 THEN format('; %s more such sessions', f.total - 5)
            ELSE '' END
        || E'\nquery: ' || left(f.query, 300) AS evidence,
    'The transaction keeps its locks and holds back vacuum: end the session, then correct the '
    'client or set idle_in_transaction_session_timeout.' AS recommendation,
    CASE WHEN pg_is_in_recovery() THEN format('SELECT pg_terminate_backend(%s);', f.pid)
        ELSE format('SELECT crewsnow_ops.terminate_session(%s, %L);', f.pid,
            to_char(f.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00')
    END AS next_command,
    'now' AS since
FROM findings AS f
WHERE f.rank <= 5
UNION ALL
SELECT 'OK', NULL, 'none', '< @idle_in_transaction.warning@ s', NULL, 'Nothing to do.', NULL, 'now'
FROM visibility AS s
WHERE s.sees_all AND NOT EXISTS (SELECT FROM findings)
UNION ALL
SELECT 'SKIPPED', NULL, NULL, '< @idle_in_transaction.warning@ s',
    'the states of other users'' sessions are hidden from this role',
    'Grant pg_monitor to this role.', format('GRANT pg_monitor TO %I;', current_user), 'now'
FROM visibility AS s
WHERE NOT s.sees_all
