-- Limits: one version that differs (ours). The C library or ICU has other rules than those with
-- which indexes were built: equal rows are missed, and unique keys hold duplicates. Only collations
-- that a column or an index names are compared, found by pg_depend: opening all of ICU takes long.
-- Nothing depends on a built-in one, such as unicode since 16: its indexes are looked for.
WITH
databases AS (
    SELECT d.datname, d.datcollversion AS recorded,
        pg_database_collation_actual_version(d.oid) AS actual,
        d.datname = current_database() AS here
    FROM pg_database AS d
    WHERE d.datallowconn AND d.datcollversion IS NOT NULL
),
used AS (
    SELECT DISTINCT r.refobjid AS oid FROM pg_depend AS r
    WHERE r.refclassid = 'pg_collation'::regclass
    UNION
    -- Below the first oid that is not pinned.
    SELECT c.oid FROM pg_collation AS c
    WHERE c.oid < 12000 AND c.collversion IS NOT NULL
        AND EXISTS (SELECT FROM pg_index AS i WHERE c.oid = ANY (i.indcollation))
),
collations AS (
    SELECT c.oid, c.collname, n.nspname, c.collversion AS recorded,
        pg_collation_actual_version(c.oid) AS actual
    FROM used AS u
    JOIN pg_collation AS c ON c.oid = u.oid
    JOIN pg_namespace AS n ON n.oid = c.collnamespace
    WHERE c.collversion IS NOT NULL
),
differing AS (
    SELECT CASE WHEN d.here THEN 1 ELSE 3 END AS kind, 'database ' || d.datname AS object,
        d.recorded, d.actual,
        CASE WHEN d.here THEN '' ELSE format('\connect %I \\ ', d.datname) END
            || format('REINDEX DATABASE CONCURRENTLY %I;', d.datname) AS next_command,
        format('ALTER DATABASE %I REFRESH COLLATION VERSION', d.datname) AS refresh
    FROM databases AS d
    WHERE d.recorded IS DISTINCT FROM d.actual
    UNION ALL
    SELECT 2, format('collation %I.%I', c.nspname, c.collname), c.recorded, c.actual,
        coalesce((
            SELECT format('REINDEX INDEX CONCURRENTLY %I.%I;', n.nspname, x.relname)
            FROM pg_index AS i
            JOIN pg_class AS x ON x.oid = i.indexrelid
            JOIN pg_namespace AS n ON n.oid = x.relnamespace
            WHERE c.oid = ANY (i.indcollation)
            ORDER BY i.indisunique DESC, x.relpages DESC, x.oid
            LIMIT 1
        ), format('ALTER COLLATION %I.%I REFRESH VERSION;', c.nspname, c.collname)),
        format('ALTER COLLATION %I.%I REFRESH VERSION', c.nspname, c.collname)
    FROM collations AS c
    WHERE c.recorded IS DISTINCT FROM c.actual
),
ranked AS (
    SELECT d.*, row_number() OVER (ORDER BY d.kind, d.object) AS rank, count(*) OVER () AS total
    FROM differing AS d
)
SELECT
    CASE WHEN r.kind = 3 THEN 'WARNING' ELSE 'CRITICAL' END AS status, r.object,
    format('built with %s, now %s', r.recorded, coalesce(r.actual, 'unknown')) AS current_value,
    'the same version' AS threshold,
    CASE WHEN r.kind = 2 THEN format('indexes with this collation: %s', (
            SELECT count(*) FROM pg_index AS i
            JOIN pg_collation AS c ON c.oid = ANY (i.indcollation)
            JOIN pg_namespace AS n ON n.oid = c.collnamespace
            WHERE format('collation %I.%I', n.nspname, c.collname) = r.object))
        ELSE 'indexes of text in this database may be out of order' END
        || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5) ELSE '' END
            AS evidence,
    format('Text sorts by other rules than its indexes: rows are missed and duplicates get in. '
        'Rebuild the indexes first, and only then run %s%s', r.refresh,
        CASE WHEN pg_is_in_recovery() THEN '; both on the primary.' ELSE '.' END)
        AS recommendation,
    r.next_command, 'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, 'the same version', 'the same version',
    format('%s databases, %s collations in use', (SELECT count(*) FROM databases),
        (SELECT count(*) FROM collations)), 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
