-- Limits: a wait of 30 s (pgFirstAid), or more than 5 blocked (pgEdge) for over a second; critical
-- 3 blocked and 300 s (pganalyze). One row per root blocker; crewsnow_ops.blocking_tree has the
-- rest. Any role may read pg_locks, so this check is never skipped.
WITH
tree AS MATERIALIZED (SELECT * FROM crewsnow_ops.blocking_tree),
roots AS (
    SELECT t.root, count(DISTINCT t.pid) FILTER (WHERE t.waiting IS NOT NULL) AS victims,
        max(t.waiting) AS longest
    FROM tree AS t
    GROUP BY t.root
),
judged AS (
    SELECT r.*,
        CASE WHEN r.victims >= 3 AND r.longest >= interval '300 s' THEN 'CRITICAL'
            WHEN r.longest >= interval '30 s' OR (r.victims > 5 AND r.longest >= interval '1 s')
                THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM roots AS r
),
findings AS (
    SELECT j.*, row_number() OVER (ORDER BY j.status, j.victims DESC, j.longest DESC) AS rank,
        count(*) OVER () AS total
    FROM judged AS j
    WHERE j.status <> 'OK'
)
SELECT
    f.status,
    CASE WHEN b.gid IS NULL THEN 'pid ' || b.pid ELSE 'prepared transaction ' || b.gid END
        AS object,
    format('%s blocked, longest %s', f.victims, date_trunc('second', f.longest)) AS current_value,
    '< 30 s, <= 5 blocked' AS threshold,
    format('state %s, user %s, application %s, database %s, transaction of %s',
        coalesce(b.state, '(hidden)'), coalesce(b.user_name::text, '?'),
            coalesce(nullif(b.application_name, ''), '(none)'), b.database,
            date_trunc('second', b.transaction_age))
        || CASE WHEN f.rank = 1 AND f.total > 5 THEN format('; %s more root blockers', f.total - 5)
            ELSE '' END
        || coalesce(E'\nquery: ' || left(b.query, 300), '') AS evidence,
    'The blocked sessions wait until this transaction ends: end it, unless its work matters more.'
        AS recommendation,
    CASE WHEN b.gid IS NULL AND s.backend_type = 'client backend' AND pg_is_in_recovery()
        THEN format('SELECT pg_terminate_backend(%s);', b.pid)
        -- Not a client backend: terminate_session refuses it.
        WHEN b.gid IS NULL AND s.backend_type <> 'client backend'
            THEN format('SELECT * FROM pg_stat_activity WHERE pid = %s;', b.pid)
        WHEN b.gid IS NULL AND b.backend_start IS NULL
            THEN format('GRANT pg_monitor TO %I;', current_user)
        WHEN b.gid IS NULL THEN
            format('SELECT crewsnow_ops.terminate_session(%s, %L);', b.pid,
                to_char(b.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00')
        WHEN b.database = current_database() THEN format('ROLLBACK PREPARED %L;', b.gid)
        ELSE format(E'\\connect %I\nROLLBACK PREPARED %L;', b.database, b.gid)
    END AS next_command,
    'now' AS since
FROM findings AS f
JOIN tree AS b ON b.root = f.root AND b.depth = 0
LEFT JOIN pg_stat_activity AS s ON s.pid = b.pid
WHERE f.rank <= 5
UNION ALL
SELECT 'OK', NULL, format('%s blocked', coalesce(sum(j.victims), 0)), '< 30 s, <= 5 blocked', NULL,
    'Nothing to do.', NULL, 'now'
FROM judged AS j
HAVING NOT EXISTS (SELECT FROM findings)
