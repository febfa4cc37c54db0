-- $1 oid[]: temporary schemas in use; $2 integer[]: the processes that own them
-- Limits: 500 million (pgdoctor: failure), at least 1.5 times autovacuum_freeze_max_age, at most
-- 1.2 billion (ours); critical 1.4 billion (check_postgres). The failsafe of vacuum starts at 1.6
-- billion; the server refuses writes at about 2.1 billion. The same limits hold for multixacts.
-- Tables are examined only if their database is over the limit. TOAST tables have an age of their
-- own.
--
-- Only its own session can vacuum a temporary table. And no VACUUM gets past a holder of the xmin
-- horizon that is half as old.
WITH
@horizon_holders@,
limits AS (
    SELECT
        greatest(@wraparound.warning@ * 1e6,
            least(1.5 * current_setting('autovacuum_freeze_max_age')::numeric, 1.2e9)) AS xid_limit,
        greatest(@wraparound.warning@ * 1e6,
            least(1.5 * current_setting('autovacuum_multixact_freeze_max_age')::numeric, 1.2e9))
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
        END AS next_command, NULL::oid AS temporary_schema, d.datname::text AS database,
        NULL::oid AS relation
    FROM databases AS d
    CROSS JOIN limits AS l
    WHERE d.xids >= l.xid_limit OR d.mxids >= l.mxid_limit
    UNION ALL
    SELECT 1, 'table ' || c.oid::regclass, age(c.relfrozenxid), mxid_age(c.relminmxid),
        CASE WHEN c.relpersistence <> 't'
            THEN format('VACUUM (FREEZE, VERBOSE) %s;', coalesce(m.oid, c.oid)::regclass) END,
        CASE WHEN c.relpersistence = 't' THEN c.relnamespace END, current_database()::text,
        coalesce(m.oid, c.oid)
    FROM pg_class AS c
    CROSS JOIN limits AS l
    LEFT JOIN pg_class AS m ON c.relkind = 't' AND m.reltoastrelid = c.oid
    WHERE (SELECT d.xids >= l.xid_limit OR d.mxids >= l.mxid_limit FROM databases AS d, limits AS l
        WHERE d.datname = current_database())
        AND c.relkind IN ('r', 'm', 't')
        AND (age(c.relfrozenxid) >= l.xid_limit OR mxid_age(c.relminmxid) >= l.mxid_limit)
),
-- TOAST tables of the schema pg_temp_N are in pg_toast_temp_N.
temporary AS MATERIALIZED (
    SELECT a.object, a.xids,
        CASE WHEN u.pid IS NULL THEN 'temporary table of a session that has ended'
            ELSE format('temporary table of pid %s, user %s, application %s, state %s', u.pid,
                coalesce(s.usename::text, '?'), coalesce(nullif(s.application_name, ''), '(none)'),
                coalesce(s.state, '(hidden)')) END AS owner,
        CASE WHEN u.pid IS NULL
            THEN 'No session can use this temporary table any more: drop it, or turn autovacuum '
                'on, which drops it.'
            WHEN k.kind = 'own session'
                THEN 'It is your own temporary table: vacuum or drop it here.'
            ELSE format('Only pid %s can vacuum its temporary table: end that session. Its '
                'temporary tables and uncommitted work are lost.', u.pid)
        END AS cure,
        CASE WHEN u.pid IS NULL THEN format('DROP TABLE %s;', a.relation::regclass)
            WHEN k.kind = 'own session' THEN format('VACUUM (FREEZE) %s;', a.relation::regclass)
            WHEN k.kind = 'client' AND NOT pg_is_in_recovery() THEN
                format('SELECT crewsnow_ops.terminate_session(%s, %L);', s.pid,
                    to_char(s.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
                        || '+00')
            WHEN k.kind = 'hidden' THEN format('GRANT pg_monitor TO %I;', current_user)
            ELSE format('SELECT * FROM pg_stat_activity WHERE pid = %s;', u.pid)
        END AS next_command
    FROM aged AS a
    JOIN pg_namespace AS n ON n.oid = a.temporary_schema
    LEFT JOIN pg_namespace AS t
        ON t.nspname = regexp_replace(n.nspname, '^pg_toast_temp_', 'pg_temp_')
    LEFT JOIN unnest($1, $2) AS u (schema, pid) ON u.schema = t.oid
    LEFT JOIN pg_stat_activity AS s ON s.pid = u.pid
    CROSS JOIN LATERAL (
        SELECT
@session_kind@
            AS kind
    ) AS k
),
ranked AS (
    SELECT o.*, greatest(o.xids, o.mxids) AS age, l.xid_limit, l.mxid_limit,
        coalesce(t.owner, 'held by ' || h.kind || ' ' || h.name || ' (' || h.evidence || ')'
            || coalesce(' since ' || h.held_since, '')) AS cause,
        coalesce(t.cure, 'VACUUM cannot freeze rows that ' || h.kind || ' ' || h.name
            || ' still sees. ' || h.cure || ' Then freeze the oldest tables.') AS cure,
        CASE WHEN t.cure IS NOT NULL THEN t.next_command
            WHEN h.cure IS NOT NULL THEN h.next_command
            ELSE o.next_command END AS command,
        row_number() OVER (ORDER BY o.kind, greatest(o.xids, o.mxids) DESC) AS rank,
        count(*) OVER () AS total
    FROM aged AS o
    CROSS JOIN limits AS l
    -- The oldest table of a database decides how old the database is.
    LEFT JOIN LATERAL (
        SELECT t.* FROM temporary AS t
        WHERE t.object = o.object OR (o.kind = 0 AND o.database = current_database()
            AND t.xids >= (SELECT max(a.xids) FROM aged AS a WHERE a.kind = 1))
        ORDER BY t.xids DESC
        LIMIT 1
    ) AS t ON true
    LEFT JOIN LATERAL (
        SELECT x.*
        FROM (
            SELECT h.* FROM holders AS h
            WHERE coalesce(h.database = o.database, true)
            ORDER BY h.age DESC
            LIMIT 1
        ) AS x
        WHERE 2::bigint * x.age >= o.xids AND o.xids >= l.xid_limit
    ) AS h ON true
)
SELECT
    CASE WHEN r.age >= @wraparound.critical@ * 1e6 THEN 'CRITICAL' ELSE 'WARNING' END AS status,
    r.object,
    format('%s million', r.age / 1000000) AS current_value,
    format('< %s million', round(least(r.xid_limit, r.mxid_limit) / 1e6)) AS threshold,
    format('age %s transactions, %s multixacts; the server refuses writes at about 2147 million',
        r.xids, r.mxids)
        || coalesce('; ' || r.cause, '')
        || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5) ELSE '' END
            AS evidence,
    'At about 2.1 billion the server refuses writes. ' || coalesce(r.cure,
        'Freeze the oldest tables. If that does not help, see the check Xmin Horizon.')
        AS recommendation,
    r.command AS next_command, 'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, format('%s million', max(greatest(d.xids, d.mxids)) / 1000000),
    format('< %s million', (SELECT round(least(l.xid_limit, l.mxid_limit) / 1e6) FROM limits AS l)),
    format('oldest: %s transactions, %s multixacts', max(d.xids), max(d.mxids)), 'Nothing to do.',
    NULL, 'now'
FROM databases AS d
HAVING NOT EXISTS (SELECT FROM ranked)
