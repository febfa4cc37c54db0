-- Limits: 50 % (pgdoctor) of the range of the type, estimated from the last ANALYZE. Meant for keys
-- without a sequence: the check All Sequences covers the others.
WITH
findings AS (
    SELECT 'column ' || c.oid::regclass || '.' || quote_ident(a.attname) AS object,
        format('%s %% (estimate)', round(100 * m.max_value / t.limit)) AS value,
        format('type %s, at least %s at the last ANALYZE', a.atttypid::regtype, m.max_value)
            AS evidence,
        format('SELECT max(%I) FROM %s;', a.attname, c.oid::regclass) AS command,
        c.oid AS relid, a.attnum, (m.max_value / t.limit)::float8 AS weight
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indrelid AND c.relkind = 'r'
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::smallint[])
        AND a.atttypid IN ('int2'::regtype, 'int4'::regtype)
    CROSS JOIN LATERAL (SELECT CASE a.atttypid
        WHEN 'int2'::regtype THEN 32767 ELSE 2147483647 END::numeric AS limit) AS t
    JOIN pg_stats AS p ON p.schemaname = n.nspname AND p.tablename = c.relname
        AND p.attname = a.attname AND NOT p.inherited
    CROSS JOIN LATERAL (SELECT p.histogram_bounds::text::text[] AS bounds) AS h
    CROSS JOIN LATERAL (SELECT h.bounds[cardinality(h.bounds)]::numeric AS max_value) AS m
    WHERE i.indisprimary AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)' AND m.max_value >= 0.5 * t.limit
),
-- pg_stats shows a role only the columns that it may read.
hidden AS (
    SELECT count(*) AS tables
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND EXISTS (
            SELECT FROM pg_index AS i
            JOIN pg_attribute AS a ON a.attrelid = i.indrelid
                AND a.attnum = ANY (i.indkey::smallint[])
            WHERE i.indrelid = c.oid AND i.indisprimary
                AND a.atttypid IN ('int2'::regtype, 'int4'::regtype)
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
@column_dependents@,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'At the end of the range every INSERT fails: check the estimate, then move to bigint. A new '
    'bigint column, filled in batches and swapped in, locks little. ALTER COLUMN TYPE rewrites the '
    'table and blocks it; its views must be dropped first.' AS recommendation,
    r.command AS next_command, 'now' AS since
FROM ranked AS r
CROSS JOIN LATERAL (SELECT r.relid, r.attnum) AS c
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
