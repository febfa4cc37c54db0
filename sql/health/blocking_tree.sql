-- Waiting sessions below the sessions that block them. pg_blocking_pids is called for waiting
-- sessions only, because it stops the lock manager for a moment. A waiter hangs below the holders
-- of its lock. If there is none (the waiter queues behind a waiting ALTER TABLE), it hangs below
-- the waiters ahead of it. Using both would make 2^500 paths of a queue of 500. Each waiter has at
-- most ten parents, the oldest. blocked_by lists all blockers; pid 0 in it is a prepared
-- transaction.
WITH RECURSIVE
locks AS MATERIALIZED (
    SELECT l.*,
        (l.locktype, l.database, l.relation, l.page, l.tuple, l.virtualxid, l.transactionid,
            l.classid, l.objid, l.objsubid)::text AS tag
    FROM pg_locks AS l
    WHERE l.mode <> 'SIReadLock'
),
waiters AS MATERIALIZED (
    SELECT l.pid, l.tag, l.mode, l.locktype, l.database, l.relation, l.waitstart,
        pg_blocking_pids(l.pid) AS blocked_by
    FROM locks AS l
    WHERE NOT l.granted AND l.pid IS NOT NULL
),
conflicts (mode, with_modes) AS (
    VALUES
        ('AccessShareLock', '{AccessExclusiveLock}'::text[]),
        ('RowShareLock', '{ExclusiveLock,AccessExclusiveLock}'),
        ('RowExclusiveLock', '{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
        ('ShareUpdateExclusiveLock',
            '{ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,'
            'AccessExclusiveLock}'),
        ('ShareLock',
            '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareRowExclusiveLock,ExclusiveLock,'
            'AccessExclusiveLock}'),
        ('ShareRowExclusiveLock',
            '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,'
            'ExclusiveLock,AccessExclusiveLock}'),
        ('ExclusiveLock',
            '{RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,'
            'ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
        ('AccessExclusiveLock',
            '{AccessShareLock,RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,'
            'ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
),
holders AS MATERIALIZED (
    SELECT DISTINCT h.tag, h.pid FROM locks AS h
    WHERE h.granted AND h.pid IS NOT NULL AND h.tag IN (SELECT w.tag FROM waiters AS w)
),
candidates AS (
    SELECT DISTINCT w.pid::text AS node, w.pid, b.pid::text AS blocker, b.pid AS blocker_pid,
        k.is_queue
    FROM (
        SELECT x.pid, x.blocked_by,
            ARRAY(SELECT h.pid FROM holders AS h WHERE h.tag = x.tag AND h.pid = ANY (x.blocked_by))
                AS held
        FROM waiters AS x
        OFFSET 0
    ) AS w
    CROSS JOIN LATERAL (SELECT CASE WHEN w.held = '{}' THEN 1 ELSE 0 END AS is_queue) AS k
    CROSS JOIN LATERAL unnest(CASE WHEN w.held = '{}' THEN w.blocked_by ELSE w.held END) AS b (pid)
    WHERE b.pid <> 0
    UNION ALL
    SELECT DISTINCT w.pid::text, w.pid, 'prepared ' || p.gid, NULL::integer, 0
    FROM waiters AS w
    JOIN conflicts AS c ON c.mode = w.mode
    JOIN locks AS h ON h.tag = w.tag AND h.granted AND h.pid IS NULL AND h.mode = ANY (c.with_modes)
    -- Its virtual id is that of the session that prepared it, after a restart -1/xid. The lock on
    -- its own transactionid identifies it.
    JOIN locks AS x ON x.virtualtransaction = h.virtualtransaction AND x.pid IS NULL
        AND x.locktype = 'transactionid' AND x.granted
    JOIN pg_prepared_xacts AS p ON p.transaction = x.transactionid
    WHERE 0 = ANY (w.blocked_by)
),
sessions AS MATERIALIZED (
    SELECT s.* FROM pg_stat_activity AS s
    WHERE s.pid IN (SELECT w.pid FROM waiters AS w UNION SELECT unnest(w.blocked_by)
        FROM waiters AS w)
),
edges AS (
    SELECT r.node, r.blocker
    FROM (
        SELECT c.node, c.blocker, c.is_queue, min(c.is_queue) OVER (PARTITION BY c.node) AS nearest,
            row_number()
                OVER (PARTITION BY c.node ORDER BY c.is_queue, s.xact_start, c.blocker) AS rank
        FROM candidates AS c
        LEFT JOIN sessions AS s ON s.pid = c.blocker_pid
    ) AS r
    WHERE r.is_queue = r.nearest AND r.rank <= 10
),
tree AS (
    SELECT DISTINCT e.blocker AS node, 0 AS depth, ARRAY[e.blocker] AS path
    FROM edges AS e
    WHERE NOT EXISTS (SELECT FROM edges AS u WHERE u.node = e.blocker)
    UNION ALL
    SELECT e.node, t.depth + 1, t.path || e.node
    FROM tree AS t
    JOIN edges AS e ON e.blocker = t.node
    WHERE e.node <> ALL (t.path) AND t.depth < 20
),
-- A deadlock has no root until the server breaks it: its members are roots without children.
nodes AS (
    SELECT t.node, t.depth, t.path, false AS is_deadlock FROM tree AS t
    UNION ALL
    SELECT DISTINCT e.node, 0, ARRAY[e.node], true FROM edges AS e
    WHERE e.node NOT IN (SELECT t.node FROM tree AS t)
),
victims AS (
    SELECT a.node, count(DISTINCT t.node) AS victims
    FROM tree AS t
    CROSS JOIN LATERAL unnest(t.path[:t.depth]) AS a (node)
    GROUP BY a.node
)
SELECT
    s.path[1] AS root,
    s.depth,
    array_to_string(s.path, ' > ') AS path,
    CASE WHEN s.node ~ '^[0-9]+$' THEN s.node::integer END AS pid,
    w.blocked_by,
    CASE WHEN s.node !~ '^[0-9]+$' THEN 'prepared transaction'
        WHEN s.is_deadlock THEN 'deadlock' ELSE a.state END AS state,
    coalesce(v.victims, 0) AS victims,
    CASE WHEN w.pid IS NOT NULL
        THEN statement_timestamp() - coalesce(w.waitstart, a.query_start) END AS waiting,
    w.locktype AS lock_type,
    w.mode AS lock_mode,
    CASE WHEN w.database IS DISTINCT FROM d.oid AND w.database <> 0 THEN w.relation::text
        ELSE w.relation::regclass::text END AS relation,
    statement_timestamp() - coalesce(p.prepared, a.xact_start) AS transaction_age,
    coalesce(p.owner, a.usename) AS user_name,
    a.application_name,
    coalesce(p.database, a.datname) AS database,
    a.client_addr,
    a.backend_start,
    p.gid,
    crewsnow_ops.mask_literals(a.query) AS query
FROM nodes AS s
CROSS JOIN (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) AS d
LEFT JOIN waiters AS w ON w.pid::text = s.node
LEFT JOIN sessions AS a ON a.pid::text = s.node
LEFT JOIN pg_prepared_xacts AS p ON 'prepared ' || p.gid = s.node
LEFT JOIN victims AS v ON v.node = s.node
ORDER BY (SELECT r.victims FROM victims AS r WHERE r.node = s.path[1]) DESC NULLS LAST, s.path
