-- Limits: 50 (contract), critical 100 (ours). Only client sessions that run a statement count: idle
-- sessions cost little.
WITH active AS (
    SELECT
        count(*) FILTER (WHERE s.state = 'active') AS active, count(*) AS clients,
        count(*) FILTER (WHERE s.state = 'active' AND s.wait_event_type = 'Lock') AS waiting,
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all
    FROM pg_stat_activity AS s
    WHERE s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
)
SELECT
    CASE WHEN NOT a.sees_all THEN 'SKIPPED'
        WHEN a.active >= @active_connections.critical@ THEN 'CRITICAL'
        WHEN a.active >= @active_connections.warning@ THEN 'WARNING' ELSE 'OK' END
            AS status,
    NULL::text AS object,
    CASE WHEN a.sees_all THEN a.active::text END AS current_value,
    '< @active_connections.warning@' AS threshold,
    CASE WHEN a.sees_all
        THEN format('%s of %s client sessions run a statement, %s of them wait for a lock; '
            '@processors@ processors', a.active, a.clients, a.waiting)
        ELSE 'the states of other users'' sessions are hidden from this role'
    END AS evidence,
    CASE WHEN NOT a.sees_all THEN 'Grant pg_monitor to this role.'
        WHEN a.active < @active_connections.warning@ THEN 'Nothing to do.'
        WHEN a.waiting * 2 > a.active
            THEN 'Most active sessions wait for a lock: end the root blocker.'
        ELSE 'More statements run than the server can serve at once, and all slow down: find them '
            'and shed load.'
    END AS recommendation,
    CASE WHEN NOT a.sees_all THEN format('GRANT pg_monitor TO %I;', current_user)
        WHEN a.active < @active_connections.warning@ THEN NULL
        WHEN a.waiting * 2 > a.active THEN 'SELECT * FROM crewsnow_ops.blocking_tree;'
        ELSE 'SELECT * FROM analyze_slow_queries();'
    END AS next_command,
    'now' AS since
FROM active AS a
