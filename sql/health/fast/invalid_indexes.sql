-- $1 oid[]: the invalid indexes
-- Limits: any that is not being built (check_pgactivity: critical; here a warning: queries are slow, writes pay for nothing, but work).
-- Other users' builds are hidden from a plain role: to it, a lock as CREATE INDEX CONCURRENTLY takes counts as a build.
WITH
invalid AS (
    SELECT i.indexrelid, i.indrelid, i.indisunique, i.indisready, c.relkind, c.relname, c.relpages
    FROM unnest($1) AS u (oid)
    JOIN pg_index AS i ON i.indexrelid = u.oid
    JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid)
        AND NOT (
            NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
            AND EXISTS (SELECT FROM pg_locks AS l WHERE l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted)
        )
),
ranked AS (
    SELECT v.*, row_number() OVER (ORDER BY v.indisunique DESC, v.relpages DESC) AS place, count(*) OVER () AS found FROM invalid AS v
)
SELECT
    'WARNING' AS status, 'index ' || r.indexrelid::regclass AS object, 'invalid' AS current_value, 'valid' AS threshold,
    concat_ws(', ', 'on ' || r.indrelid::regclass, CASE WHEN r.indisunique THEN 'unique' END,
        CASE WHEN r.relkind = 'I' THEN 'partitioned: not every partition has its part'
            WHEN NOT r.indisready THEN 'not maintained' ELSE 'maintained by every write' END,
        pg_size_pretty(r.relpages * current_setting('block_size')::bigint),
        CASE WHEN r.place = 1 AND r.found > 5 THEN format('%s more indexes', r.found - 5) END) AS evidence,
    CASE WHEN r.relkind = 'I' THEN 'No query uses it as a whole: build the missing parts and attach them.'
        WHEN r.relname ~ '_cc(new|old)\d*$' THEN 'No query uses it: a REINDEX CONCURRENTLY left it behind, drop it.'
        ELSE 'No query uses it, and a unique one may not hold: its building failed, build it again.'
    END AS recommendation,
    CASE WHEN r.relkind = 'I' THEN format('SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = %L::regclass;', r.indexrelid::regclass)
        WHEN r.relname ~ '_cc(new|old)\d*$' THEN format('DROP INDEX CONCURRENTLY %s;', r.indexrelid::regclass)
        ELSE format('REINDEX INDEX CONCURRENTLY %s;', r.indexrelid::regclass)
    END AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.place <= 5
UNION ALL
SELECT 'OK', NULL, '0', '0', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
