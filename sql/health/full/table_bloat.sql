-- Limits: over half empty (pgFirstAid) and 100 MB (awesome-prometheus-alerts), by estimate. Left
-- out are tables without statistics, with columns of type name, or with columns that this role may
-- not read.
WITH
findings AS (
    SELECT 'table ' || b.oid::regclass AS object,
        format('%s %% (estimate)', round((100 * (1 - b.needed / b.relpages))::numeric)) AS value,
        format('%s of %s', pg_size_pretty(((b.relpages - b.needed) * b.block)::bigint),
            pg_size_pretty((b.relpages * b.block)::bigint)) AS evidence,
        format('SELECT * FROM pgstattuple_approx(%L);', b.oid::regclass) AS command,
        (b.relpages - b.needed)::float8 AS weight
    FROM (
        SELECT c.oid, c.relpages::float8 AS relpages, s.block,
            -- Rows: 24 bytes of header and 4 of line pointer, aligned to 8, in pages filled to
            -- fillfactor.
            ceil(c.reltuples * (28 + ceil((w.width + 4) / 8.0) * 8)
                / ((s.block - 24) * coalesce(f.fillfactor, 100) / 100)) AS needed
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        CROSS JOIN (SELECT current_setting('block_size')::float8 AS block) AS s
        CROSS JOIN LATERAL (
            SELECT sum((1 - t.null_frac) * t.avg_width) AS width, count(*) AS columns
            FROM pg_stats AS t
            WHERE t.schemaname = n.nspname AND t.tablename = c.relname AND NOT t.inherited
        ) AS w
        LEFT JOIN LATERAL (
            SELECT x.option_value::float8 AS fillfactor FROM pg_options_to_table(c.reloptions) AS x
            WHERE x.option_name = 'fillfactor'
        ) AS f ON true
        WHERE c.relkind IN ('r', 'm') AND c.reltuples > 0 AND c.relpages * s.block > 104857600
            AND n.nspname NOT IN ('pg_catalog', 'information_schema')
            AND n.nspname !~ '^pg_(toast|temp)'
            AND w.columns = (SELECT count(*) FROM pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
            AND NOT EXISTS (SELECT FROM pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.atttypid = 'name'::regtype)
    ) AS b
    WHERE b.needed < 0.5 * b.relpages
),
-- pg_stats shows a role only the columns that it may read.
hidden AS (
    SELECT count(*) AS tables
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpages * current_setting('block_size')::float8 > 104857600
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
        AND (NOT has_table_privilege(c.oid, 'SELECT') OR row_security_active(c.oid))
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS rank,
        count(*) OVER () AS total
    FROM findings AS f
)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, '< 50 % (estimate)' AS threshold,
    concat_ws('; ', r.evidence,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'Most of the table is empty by this estimate, and scans read that too: measure with '
    'pgstattuple_approx, then use pg_repack or VACUUM FULL (locks it).' AS recommendation,
    r.command AS next_command, 'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT
    CASE WHEN h.tables > 0 THEN 'SKIPPED' ELSE 'OK' END, NULL, CASE WHEN h.tables = 0 THEN '0' END,
    '< 50 % (estimate)',
    CASE WHEN h.tables > 0
        THEN format('the statistics of %s tables are hidden from this role', h.tables) END,
    CASE WHEN h.tables > 0 THEN 'Grant pg_read_all_data to this role.' ELSE 'Nothing to do.' END,
    CASE WHEN h.tables > 0 THEN format('GRANT pg_read_all_data TO %I;', current_user) END, 'now'
FROM hidden AS h
WHERE h.tables > 0 OR NOT EXISTS (SELECT FROM ranked)
