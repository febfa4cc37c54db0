-- Limits: 30 s (check_postgres: critical), critical 3600 s (ours). A prepared transaction keeps its
-- locks and the xmin horizon, even across a restart.
WITH findings AS (
    SELECT p.*, statement_timestamp() - p.prepared AS age,
        row_number() OVER (ORDER BY p.prepared) AS rank, count(*) OVER () AS total
    FROM pg_prepared_xacts AS p
    WHERE statement_timestamp() - p.prepared >= interval '@prepared_transactions.warning@ s'
)
SELECT
    CASE WHEN f.age >= interval '@prepared_transactions.critical@ s' THEN 'CRITICAL'
        ELSE 'WARNING' END AS status,
    'prepared transaction ' || f.gid AS object, date_trunc('second', f.age)::text AS current_value,
    '< @prepared_transactions.warning@ s' AS threshold,
    format('prepared at %s by %s in %s, %s locks', f.prepared, f.owner, f.database,
            (SELECT count(*) FROM pg_locks AS x
                JOIN pg_locks AS l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL
                WHERE x.locktype = 'transactionid' AND x.transactionid = f.transaction
                    AND x.pid IS NULL AND x.granted))
        || CASE WHEN f.rank = 1 AND f.total > 5 THEN format('; %s more', f.total - 5) ELSE '' END
            AS evidence,
    format('It keeps its locks until it ends: ask its coordinator for the outcome, as %s or a '
        'superuser. ROLLBACK PREPARED discards its work for good; COMMIT PREPARED %L keeps it.',
        f.owner, f.gid) AS recommendation,
    CASE WHEN f.database = current_database() THEN '' ELSE format(E'\\connect %I\n', f.database) END
        || format('ROLLBACK PREPARED %L;', f.gid) AS next_command,
    'now' AS since
FROM findings AS f
WHERE f.rank <= 5
UNION ALL
SELECT 'OK', NULL, format('%s', count(*)), '< @prepared_transactions.warning@ s', NULL,
    'Nothing to do.', NULL, 'now'
FROM pg_prepared_xacts
HAVING NOT EXISTS (SELECT FROM findings)
