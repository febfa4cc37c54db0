-- Limits: 20 % is critical in awesome-prometheus-alerts; here a warning, critical at 50 % (ours): when it is full, statements fail with
-- "out of shared memory". Fast-path locks are not in the table, SIReadLocks have their own.
WITH used AS (
    SELECT
        -- As text: xid has no ordering.
        count(DISTINCT (l.locktype, l.database, l.relation, l.page, l.tuple, l.virtualxid, l.transactionid, l.classid, l.objid, l.objsubid)::text)
            AS locks,
        current_setting('max_locks_per_transaction')::bigint
            * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) AS places
    FROM pg_locks AS l
    WHERE NOT l.fastpath AND l.mode <> 'SIReadLock'
),
most AS (
    SELECT l.pid, count(*) AS locks FROM pg_locks AS l WHERE NOT l.fastpath GROUP BY l.pid ORDER BY count(*) DESC LIMIT 1
)
SELECT
    CASE WHEN u.locks >= 0.5 * u.places THEN 'CRITICAL' WHEN u.locks >= 0.2 * u.places THEN 'WARNING' ELSE 'OK' END AS status,
    NULL::text AS object,
    format('%s (%s %%)', u.locks, round(100.0 * u.locks / u.places, 1)) AS current_value,
    format('< 20 %% of %s', u.places) AS threshold,
    (SELECT format('most by %s: %s', coalesce('pid ' || m.pid, 'a prepared transaction'), m.locks) FROM most AS m) AS evidence,
    CASE WHEN u.locks >= 0.2 * u.places
        THEN 'When it is full, any statement may fail with "out of shared memory": '
            || 'split the transaction that takes most, raise max_locks_per_transaction.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN u.locks >= 0.2 * u.places
        THEN 'SELECT pid, count(*) FROM pg_locks WHERE NOT fastpath GROUP BY pid ORDER BY 2 DESC LIMIT 5;'
    END AS next_command,
    'now' AS since
FROM used AS u
