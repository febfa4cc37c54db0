-- Limits: 500 million (pgdoctor: failure), at least 1.5 times autovacuum_freeze_max_age, at most
-- 1.2 billion (ours); critical 1.4 billion (check_postgres). The failsafe of vacuum starts at 1.6
-- billion; the server refuses writes at about 2.1 billion. The same limits hold for multixacts.
-- Tables are examined only if their database is over the limit. TOAST tables have an age of their
-- own.
WITH
limits AS (
    SELECT
        least(greatest(500e6, 1.5 * current_setting('autovacuum_freeze_max_age')::numeric), 1.2e9)
            AS xid_limit,
        least(greatest(500e6,
            1.5 * current_setting('autovacuum_multixact_freeze_max_age')::numeric), 1.2e9)
                AS mxid_limit
),
databases AS (
    SELECT d.datname, age(d.datfrozenxid) AS xids, mxid_age(d.datminmxid) AS mxids, d.datallowconn
    FROM pg_database AS d
),
aged AS (
    SELECT 0 AS kind, 'database ' || d.datname AS object, d.xids, d.mxids,
        CASE WHEN NOT d.datallowconn
            THEN format('ALTER DATABASE %I ALLOW_CONNECTIONS true;', d.datname)
            WHEN d.datname = current_database() THEN 'VACUUM (FREEZE, VERBOSE);'
            ELSE format(E'\\connect %I\n'
                'SELECT * FROM pg_class WHERE relkind IN (''r'', ''m'', ''t'') ORDER BY '
                'age(relfrozenxid) DESC LIMIT 5;',
                d.datname)
        END AS next_command
    FROM databases AS d
    CROSS JOIN limits AS l
    WHERE d.xids >= l.xid_limit OR d.mxids >= l.mxid_limit
    UNION ALL
    SELECT 1, 'table ' || c.oid::regclass, age(c.relfrozenxid), mxid_age(c.relminmxid),
        format('VACUUM (FREEZE, VERBOSE) %s;', coalesce(m.oid, c.oid)::regclass)
    FROM pg_class AS c
    CROSS JOIN limits AS l
    LEFT JOIN pg_class AS m ON c.relkind = 't' AND m.reltoastrelid = c.oid
    WHERE (SELECT d.xids >= l.xid_limit OR d.mxids >= l.mxid_limit FROM databases AS d, limits AS l
        WHERE d.datname = current_database())
        AND c.relkind IN ('r', 'm', 't')
        AND (age(c.relfrozenxid) >= l.xid_limit OR mxid_age(c.relminmxid) >= l.mxid_limit)
),
ranked AS (
    SELECT o.*, greatest(o.xids, o.mxids) AS age,
        row_number() OVER (ORDER BY o.kind, greatest(o.xids, o.mxids) DESC) AS rank,
        count(*) OVER () AS total
    FROM aged AS o
)
SELECT
    CASE WHEN r.age >= 1.4e9 THEN 'CRITICAL' ELSE 'WARNING' END AS status, r.object,
    format('%s million', r.age / 1000000) AS current_value,
    format('< %s million', round(least(l.xid_limit, l.mxid_limit) / 1e6)) AS threshold,
    format('age %s transactions, %s multixacts; the server refuses writes at about 2147 million',
        r.xids, r.mxids)
        || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5) ELSE '' END
            AS evidence,
    'At about 2.1 billion the server refuses writes: resolve the check Xmin Horizon, then freeze '
    'the oldest tables.' AS recommendation,
    r.next_command, 'now' AS since
FROM ranked AS r
CROSS JOIN limits AS l
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, format('%s million', max(greatest(d.xids, d.mxids)) / 1000000),
    format('< %s million', (SELECT round(least(l.xid_limit, l.mxid_limit) / 1e6) FROM limits AS l)),
    format('oldest: %s transactions, %s multixacts', max(d.xids), max(d.mxids)), 'Nothing to do.',
    NULL, 'now'
FROM databases AS d
HAVING NOT EXISTS (SELECT FROM ranked)
