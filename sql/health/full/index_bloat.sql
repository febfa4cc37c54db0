-- Limits: over half empty and 100 MB, as for tables (estimate, btree only). Indexes on expressions
-- or without column statistics are left out.
WITH
findings AS (
    SELECT 'index ' || b.indexrelid::regclass AS object,
        format('%s %% (estimate)', round((100 * (1 - b.needed / b.relpages))::numeric)) AS value,
        format('on %s, %s of %s', b.indrelid::regclass,
            pg_size_pretty(((b.relpages - b.needed) * b.block)::bigint),
            pg_size_pretty((b.relpages * b.block)::bigint)) AS evidence,
        format('REINDEX INDEX CONCURRENTLY %s;', b.indexrelid::regclass) AS command,
        (b.relpages - b.needed)::float8 AS weight
    FROM (
        SELECT i.indexrelid, i.indrelid, c.relpages::float8 AS relpages, s.block,
            -- Entries: 8 bytes of header and 4 of line pointer, aligned to 8, in pages filled
            -- to 90 %. Deduplication needs less.
            ceil(c.reltuples * (12 + ceil(w.width / 8.0) * 8) / ((s.block - 40) * 0.9)) AS needed
        FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indexrelid
        JOIN pg_class AS t ON t.oid = i.indrelid
        JOIN pg_namespace AS n ON n.oid = t.relnamespace
        CROSS JOIN (SELECT current_setting('block_size')::float8 AS block) AS s
        CROSS JOIN LATERAL (
            SELECT sum((1 - p.null_frac) * p.avg_width) AS width, count(*) AS columns
            FROM pg_attribute AS a
            JOIN pg_stats AS p ON p.schemaname = n.nspname AND p.tablename = t.relname
                AND p.attname = a.attname AND NOT p.inherited
            WHERE a.attrelid = t.oid AND a.attnum = ANY (i.indkey::smallint[])
        ) AS w
        WHERE c.relkind = 'i' AND c.relam = (SELECT m.oid FROM pg_am AS m WHERE m.amname = 'btree')
            AND i.indexprs IS NULL AND i.indisvalid
            AND c.reltuples > 0 AND c.relpages * s.block > 104857600
            AND n.nspname NOT IN ('pg_catalog', 'information_schema')
            AND n.nspname !~ '^pg_(toast|temp)'
            AND w.columns = i.indnatts
    ) AS b
    WHERE b.needed < 0.5 * b.relpages
),
-- pg_stats shows a role only the columns that it may read.
hidden AS (
    SELECT count(*) AS tables
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm')
        AND EXISTS (
            SELECT FROM pg_index AS i
            JOIN pg_class AS x ON x.oid = i.indexrelid
            WHERE i.indrelid = c.oid
                AND x.relpages * current_setting('block_size')::float8 > 104857600
        )
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
    'Most of the index is empty by this estimate: rebuild it.' AS recommendation,
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
