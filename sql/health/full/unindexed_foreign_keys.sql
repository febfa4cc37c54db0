-- Limits: any of a table above 10,000 rows (the size of pgFirstAid; splinter reports any).
WITH
findings AS (
    SELECT 'table ' || k.conrelid::regclass AS object, k.conname::text AS value,
        format('references %s, %s rows', k.confrelid::regclass, greatest(c.reltuples, 0)::bigint)
            AS evidence,
        format('CREATE INDEX CONCURRENTLY ON %s (%s);', k.conrelid::regclass, (
            SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.position)
            FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, position)
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum)) AS command,
            c.reltuples::float8 AS weight
    FROM pg_constraint AS k
    JOIN pg_class AS c ON c.oid = k.conrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE k.contype = 'f' AND k.conparentid = 0 AND c.relkind = 'r' AND c.reltuples > 10000
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL
                AND (SELECT array_agg(i.indkey[p])
                    FROM generate_series(0, cardinality(k.conkey) - 1) AS p) @> k.conkey
        )
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS rank,
        count(*) OVER () AS total
    FROM findings AS f
)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'indexed' AS threshold,
    concat_ws('; ', r.evidence,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'Deleting or updating a referenced row scans this table under locks: index the column.'
        AS recommendation, r.command AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'indexed', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
