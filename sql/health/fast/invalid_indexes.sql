-- $1 oid[]: the invalid indexes
-- Limits: any that no session is building. A warning (check_pgactivity: critical), because queries
-- slow down and writes maintain the index in vain, but nothing fails. A plain role cannot see other
-- users' builds. To it, the lock that CREATE INDEX CONCURRENTLY takes counts as a build.
WITH
invalid AS (
    SELECT i.indexrelid, i.indrelid, i.indisunique, i.indisready, c.relkind, c.relname, c.relpages
    FROM unnest($1) AS u (oid)
    JOIN pg_index AS i ON i.indexrelid = u.oid
    JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p
        WHERE p.index_relid = i.indexrelid)
        AND NOT (
            NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
            AND EXISTS (SELECT FROM pg_locks AS l
                WHERE l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted)
        )
),
ranked AS (
    SELECT v.*, row_number() OVER (ORDER BY v.indisunique DESC, v.relpages DESC) AS rank,
        count(*) OVER () AS total
    FROM invalid AS v
)
SELECT
    'WARNING' AS status, 'index ' || r.indexrelid::regclass AS object, 'invalid' AS current_value,
    'valid' AS threshold,
    concat_ws(', ', 'on ' || r.indrelid::regclass, CASE WHEN r.indisunique THEN 'unique' END,
        CASE WHEN r.relkind = 'I' THEN 'partitioned: some partitions lack their index'
            WHEN NOT r.indisready THEN 'not maintained' ELSE 'maintained by every write' END,
        pg_size_pretty(r.relpages * current_setting('block_size')::bigint),
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more indexes', r.total - 5) END)
            AS evidence,
    CASE WHEN r.relkind = 'I'
        THEN 'The partitioned index is incomplete: build the missing indexes on its partitions and '
            'attach them.'
        WHEN r.relname ~ '_cc(new|old)\d*$'
            THEN 'REINDEX CONCURRENTLY left this index behind, and no query uses it: drop it.'
        ELSE 'The build of this index failed. No query uses it, and it may not enforce uniqueness: '
            'rebuild it.'
    END AS recommendation,
    CASE WHEN r.relkind = 'I'
        THEN format('SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = %L::regclass;',
            r.indexrelid::regclass)
        WHEN r.relname ~ '_cc(new|old)\d*$'
            THEN format('DROP INDEX CONCURRENTLY %s;', r.indexrelid::regclass)
        ELSE format('REINDEX INDEX CONCURRENTLY %s;', r.indexrelid::regclass)
    END AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, '0', '0', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
