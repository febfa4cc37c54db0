-- Limits: exact copies and left prefixes (pgdoctor: failure and warning) with the same table,
-- predicate, expressions, operator classes, collations and order.
WITH
findings AS (
    SELECT DISTINCT ON (a.indexrelid) 'index ' || a.indexrelid::regclass AS object,
        CASE WHEN a.keys = b.keys THEN 'duplicate of ' ELSE 'prefix of ' END
            || b.indexrelid::regclass AS value,
        format('on %s, %s', a.indrelid::regclass,
            pg_size_pretty(c.relpages * current_setting('block_size')::bigint)) AS evidence,
        format('DROP INDEX CONCURRENTLY %s;', a.indexrelid::regclass) AS command,
        c.relpages::float8 AS weight
    FROM (
        SELECT i.*, x.relam, n.nspname,
            (SELECT array_agg(concat_ws(',', i.indkey[k], i.indclass[k], i.indcollation[k],
                i.indoption[k]) ORDER BY k)
                FROM generate_series(0, i.indnkeyatts - 1) AS k) AS keys,
            (SELECT array_agg(i.indkey[k] ORDER BY k)
                FROM generate_series(i.indnkeyatts, i.indnatts - 1) AS k) AS included
        FROM pg_index AS i
        JOIN pg_class AS x ON x.oid = i.indexrelid
        JOIN pg_namespace AS n ON n.oid = x.relnamespace
        WHERE i.indisvalid AND x.relkind = 'i' AND x.oid >= 16384
            AND n.nspname NOT IN ('pg_catalog', 'information_schema')
            AND n.nspname !~ '^pg_(toast|temp)'
    ) AS a
    JOIN pg_class AS c ON c.oid = a.indexrelid
    JOIN pg_index AS o ON o.indrelid = a.indrelid AND o.indexrelid <> a.indexrelid AND o.indisvalid
    JOIN pg_class AS y ON y.oid = o.indexrelid AND y.relam = a.relam
    CROSS JOIN LATERAL (
        SELECT o.indexrelid,
            array_agg(concat_ws(',', o.indkey[k], o.indclass[k], o.indcollation[k], o.indoption[k])
                ORDER BY k) AS keys,
            (SELECT array_agg(o.indkey[k] ORDER BY k)
                FROM generate_series(o.indnkeyatts, o.indnatts - 1) AS k) AS included
        FROM generate_series(0, o.indnkeyatts - 1) AS k
    ) AS b
    WHERE NOT a.indisunique AND NOT a.indisprimary AND NOT a.indisexclusion AND NOT a.indisreplident
        AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = a.indexrelid)
        AND pg_get_expr(a.indpred, a.indrelid) IS NOT DISTINCT FROM pg_get_expr(o.indpred,
            o.indrelid)
        AND pg_get_expr(a.indexprs, a.indrelid) IS NOT DISTINCT FROM pg_get_expr(o.indexprs,
            o.indrelid)
        AND CASE WHEN a.keys = b.keys
            -- The younger of two equal copies is reported. An index is also reported if the
            -- other one is unique or includes more columns.
            THEN coalesce(a.included, '{}') <@ coalesce(b.included, '{}')
                AND (o.indisunique OR a.indexrelid > o.indexrelid
                OR NOT coalesce(b.included, '{}') <@ coalesce(a.included, '{}'))
            ELSE y.relam = (SELECT m.oid FROM pg_am AS m WHERE m.amname = 'btree')
                AND a.included IS NULL
                AND b.keys[:a.indnkeyatts] = a.keys
        END
    ORDER BY a.indexrelid, a.keys = b.keys DESC, o.indexrelid
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS rank,
        count(*) OVER () AS total
    FROM findings AS f
)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'none' AS threshold,
    concat_ws('; ', r.evidence,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'Another index serves the same queries: drop this one.' AS recommendation,
    r.command AS next_command, 'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'none', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
