-- Limits: changed since the last ANALYZE: 100,000 rows (pgdoctor) and ten times autovacuum's own
-- threshold (ours); or never analyzed with 10,000 rows (ours).
WITH
findings AS (
    SELECT 'table ' || c.oid::regclass AS object,
        CASE WHEN c.reltuples < 0 THEN 'never'
            ELSE pg_stat_get_mod_since_analyze(c.oid) || ' rows changed' END AS value,
        format('last analyzed %s, %s rows',
            coalesce(greatest(pg_stat_get_last_analyze_time(c.oid),
                pg_stat_get_last_autoanalyze_time(c.oid))::text,
            'unknown'), pg_stat_get_live_tuples(c.oid)) AS evidence,
        format('ANALYZE %s;', c.oid::regclass) AS command,
        pg_stat_get_mod_since_analyze(c.oid)::float8 AS weight
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
        AND ((pg_stat_get_mod_since_analyze(c.oid) > 100000
            AND pg_stat_get_mod_since_analyze(c.oid) > 10 * (
                current_setting('autovacuum_analyze_threshold')::float8
                + current_setting('autovacuum_analyze_scale_factor')::float8
                * greatest(c.reltuples, 0)))
            OR (c.reltuples < 0 AND pg_stat_get_live_tuples(c.oid) > 10000))
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS rank,
        count(*) OVER () AS total
    FROM findings AS f
)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'analyzed' AS threshold,
    concat_ws('; ', r.evidence,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'The planner uses outdated statistics and may choose bad plans: analyze the table.'
        AS recommendation, r.command AS next_command, 'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'analyzed', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
