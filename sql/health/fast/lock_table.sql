-- Limits: 20 % (awesome-prometheus-alerts: critical), critical 50 % (ours): with a full lock table,
-- statements fail with "out of shared memory". Fast-path locks take no slot of it, and SIReadLocks
-- have a table of their own.
WITH used AS (
    SELECT
        -- Cast to text: DISTINCT sorts, and xid has no ordering.
        count(DISTINCT (l.locktype, l.database, l.relation, l.page, l.tuple, l.virtualxid,
            l.transactionid, l.classid, l.objid, l.objsubid)::text)
            AS locks,
        current_setting('max_locks_per_transaction')::bigint
            * (current_setting('max_connections')::bigint
                + current_setting('max_prepared_transactions')::bigint) AS slots
    FROM pg_locks AS l
    WHERE NOT l.fastpath AND l.mode <> 'SIReadLock'
),
top_holder AS (
    SELECT l.pid, count(*) AS locks FROM pg_locks AS l
    WHERE NOT l.fastpath GROUP BY l.pid ORDER BY count(*) DESC LIMIT 1
)
SELECT
    CASE WHEN u.locks >= @lock_table.critical@ / 100.0 * u.slots THEN 'CRITICAL'
        WHEN u.locks >= @lock_table.warning@ / 100.0 * u.slots THEN 'WARNING' ELSE 'OK' END
        AS status,
    NULL::text AS object,
    format('%s (%s %%)', u.locks, round(100.0 * u.locks / u.slots, 1)) AS current_value,
    format('< @lock_table.warning@ %% of %s', u.slots) AS threshold,
    (SELECT format('most are held by %s: %s', coalesce('pid ' || m.pid, 'a prepared transaction'),
        m.locks) FROM top_holder AS m) AS evidence,
    CASE WHEN u.locks >= @lock_table.warning@ / 100.0 * u.slots
        THEN 'With a full lock table any statement may fail with "out of shared memory": split the '
            'largest transaction, or raise max_locks_per_transaction.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN u.locks >= @lock_table.warning@ / 100.0 * u.slots
        THEN 'SELECT pid, count(*) FROM pg_locks WHERE NOT fastpath GROUP BY pid ORDER BY 2 DESC '
            'LIMIT 5;'
    END AS next_command,
    'now' AS since
FROM used AS u
