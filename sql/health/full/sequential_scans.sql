-- Limits: over 1000 sequential scans of a table above 10,000 rows (pgFirstAid). On average they
-- must read more than a tenth of it (ours), because a scan that LIMIT or EXISTS ends early does no
-- harm. After a crash all counters are 0 and stats_reset is NULL: stats_reset of pg_stat_bgwriter
-- then tells their age. Below 7 days the check is SKIPPED (pgdoctor).
WITH
statistics AS (
    SELECT coalesce(d.stats_reset, b.stats_reset) AS since,
        statement_timestamp() - coalesce(d.stats_reset, b.stats_reset) AS age
    FROM pg_stat_database AS d
    CROSS JOIN pg_stat_bgwriter AS b
    WHERE d.datname = current_database()
),
findings AS (
    SELECT 'table ' || c.oid::regclass AS object,
        pg_stat_get_numscans(c.oid) || ' sequential scans' AS value,
        format('%s rows, %s read per scan', c.reltuples::bigint,
            pg_stat_get_tuples_returned(c.oid) / pg_stat_get_numscans(c.oid)) AS evidence,
        'SELECT * FROM analyze_slow_queries();' AS command,
        pg_stat_get_tuples_returned(c.oid)::float8 AS weight
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE (SELECT s.age >= interval '7 days' FROM statistics AS s)
        AND c.relkind IN ('r', 'm') AND c.reltuples > 10000
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
            AND n.nspname !~ '^pg_(toast|temp)'
        AND pg_stat_get_numscans(c.oid) > 1000
        AND pg_stat_get_tuples_returned(c.oid) / pg_stat_get_numscans(c.oid) > 0.1 * c.reltuples
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS rank,
        count(*) OVER () AS total
    FROM findings AS f
)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, '<= 1000 scans' AS threshold,
    concat_ws('; ', r.evidence,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'Queries read the whole table: find them with analyze_slow_queries(), and index the columns '
    'that they filter by.' AS recommendation, r.command AS next_command,
    'lifetime since ' || to_char(s.since, 'YYYY-MM-DD HH24:MI') AS since
FROM ranked AS r
CROSS JOIN statistics AS s
WHERE r.rank <= 5
UNION ALL
SELECT CASE WHEN s.age >= interval '7 days' THEN 'OK' ELSE 'SKIPPED' END, NULL,
    CASE WHEN s.age >= interval '7 days' THEN '0' END, '<= 1000 scans',
    CASE WHEN s.age < interval '7 days' OR s.age IS NULL
        THEN format('the statistics are %s old, 7 days are needed', date_trunc('minute', s.age))
            END,
    CASE WHEN s.age >= interval '7 days' THEN 'Nothing to do.'
        ELSE 'Repeat the check when the statistics cover a week.' END,
    CASE WHEN s.age < interval '7 days' THEN 'SELECT stats_reset FROM pg_stat_bgwriter;' END,
    'lifetime since ' || to_char(s.since, 'YYYY-MM-DD HH24:MI')
FROM statistics AS s
WHERE NOT EXISTS (SELECT FROM ranked)
