-- Limits: never scanned and over 10 MB (pghero, pgdoctor). Left out are indexes that hold a
-- constraint, uniqueness or replica identity, and partitioned parents. Scans on standbys are not
-- counted here. After a crash all counters are 0 and stats_reset is NULL: stats_reset of
-- pg_stat_bgwriter then tells their age. Below 7 days the check is SKIPPED (pgdoctor).
WITH
statistics AS (
    SELECT coalesce(d.stats_reset, b.stats_reset) AS since,
        statement_timestamp() - coalesce(d.stats_reset, b.stats_reset) AS age
    FROM pg_stat_database AS d
    CROSS JOIN pg_stat_bgwriter AS b
    WHERE d.datname = current_database()
),
findings AS (
    SELECT 'index ' || i.indexrelid::regclass AS object,
        pg_size_pretty(c.relpages * current_setting('block_size')::bigint) AS value,
        format('on %s, no scan%s', i.indrelid::regclass,
            CASE WHEN EXISTS (SELECT FROM pg_stat_replication)
                THEN ' here (standbys are not counted)' ELSE '' END)
            AS evidence,
        format('DROP INDEX CONCURRENTLY %s;', i.indexrelid::regclass) AS command,
        c.relpages::float8 AS weight
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE (SELECT s.age >= interval '7 days' FROM statistics AS s)
        AND c.relkind = 'i' AND i.indisvalid AND NOT i.indisunique AND NOT i.indisprimary
        AND NOT i.indisexclusion AND NOT i.indisreplident
        AND c.relpages * current_setting('block_size')::bigint > 10485760
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
        AND pg_stat_get_numscans(i.indexrelid) = 0
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS rank,
        count(*) OVER () AS total
    FROM findings AS f
)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'used' AS threshold,
    concat_ws('; ', r.evidence,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'Every write maintains the index, and no query reads it: check the standbys, then drop it.'
        AS recommendation, r.command AS next_command,
    'lifetime since ' || to_char(s.since, 'YYYY-MM-DD HH24:MI') AS since
FROM ranked AS r
CROSS JOIN statistics AS s
WHERE r.rank <= 5
UNION ALL
SELECT CASE WHEN s.age >= interval '7 days' THEN 'OK' ELSE 'SKIPPED' END, NULL,
    CASE WHEN s.age >= interval '7 days' THEN '0' END, 'used',
    CASE WHEN s.age < interval '7 days' OR s.age IS NULL
        THEN format('the statistics are %s old, 7 days are needed', date_trunc('minute', s.age))
            END,
    CASE WHEN s.age >= interval '7 days' THEN 'Nothing to do.'
        ELSE 'Repeat the check when the statistics cover a week.' END,
    CASE WHEN s.age < interval '7 days' THEN 'SELECT stats_reset FROM pg_stat_bgwriter;' END,
    'lifetime since ' || to_char(s.since, 'YYYY-MM-DD HH24:MI')
FROM statistics AS s
WHERE NOT EXISTS (SELECT FROM ranked)
