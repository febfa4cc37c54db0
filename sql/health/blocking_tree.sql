-- Waiting sessions below the sessions that block them, one row for each: its shortest path from a
-- root blocker. pg_blocking_pids is called for waiting sessions only, because it stops the lock
-- manager for a moment. A waiter hangs below the holders of its lock. If there is none (the waiter
-- queues behind a waiting ALTER TABLE), it hangs below the waiters ahead of it. Each waiter has at
-- most ten parents, the oldest. Roots and victims are counted along all edges. blocked_by lists all
-- blockers; pid 0 in it is a prepared transaction.
--
-- A gate waits for a strong lock on a relation, and others wait because of it alone: cancelling
-- its statement lets them continue. Waiters for a row are no gates, since the next of them takes
-- the place of the first.
WITH RECURSIVE
locks AS MATERIALIZED (
    SELECT l.*,
        (l.locktype, l.database, l.relation, l.page, l.tuple, l.virtualxid, l.transactionid,
            l.classid, l.objid, l.objsubid)::text AS tag
    FROM pg_locks AS l
    WHERE l.mode <> 'SIReadLock'
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
waiters AS MATERIALIZED (
    SELECT l.pid, l.tag, l.mode, l.locktype, l.database, l.relation, l.waitstart,
        -- On a standby the server knows no blockers of the startup process.
        CASE WHEN b.pids = '{}' AND pg_is_in_recovery()
            THEN ARRAY(
                SELECT DISTINCT h.pid
                FROM locks AS h
                JOIN conflicts AS c ON c.mode = l.mode
                WHERE h.tag = l.tag AND h.granted AND h.pid <> l.pid
                    AND h.mode = ANY (c.with_modes)
            )
            ELSE b.pids
        END AS blocked_by
    FROM locks AS l
    CROSS JOIN LATERAL (SELECT pg_blocking_pids(l.pid) AS pids OFFSET 0) AS b
    WHERE NOT l.granted AND l.pid IS NOT NULL
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
edges AS MATERIALIZED (
    SELECT r.node, r.blocker, r.rank
    FROM (
        SELECT c.node, c.blocker, c.is_queue, min(c.is_queue) OVER (PARTITION BY c.node) AS nearest,
            row_number()
                OVER (PARTITION BY c.node ORDER BY c.is_queue, s.xact_start, c.blocker) AS rank
        FROM candidates AS c
        LEFT JOIN sessions AS s ON s.pid = c.blocker_pid
    ) AS r
    WHERE r.is_queue = r.nearest AND r.rank <= 10
),
reach (ancestor, node) AS (
    SELECT e.blocker, e.node FROM edges AS e
    UNION
    SELECT r.ancestor, e.node FROM reach AS r JOIN edges AS e ON e.blocker = r.node
),
first_blockers AS MATERIALIZED (
    SELECT DISTINCT e.blocker AS node
    FROM edges AS e
    WHERE NOT EXISTS (SELECT FROM edges AS u WHERE u.node = e.blocker)
),
-- A deadlock has no first blocker until the server breaks it: all its members are roots.
roots AS MATERIALIZED (
    SELECT f.node, false AS is_deadlock FROM first_blockers AS f
    UNION ALL
    SELECT r.node, true
    FROM reach AS r
    WHERE r.ancestor = r.node AND NOT EXISTS (
        SELECT FROM reach AS a JOIN first_blockers AS f ON f.node = a.ancestor
        WHERE a.node = r.node
    )
),
steps (node, depth) AS (
    SELECT r.node, 0 FROM roots AS r
    UNION
    SELECT e.node, t.depth + 1 FROM steps AS t JOIN edges AS e ON e.blocker = t.node
    WHERE t.depth < 50
),
nearest AS MATERIALIZED (SELECT t.node, min(t.depth) AS depth FROM steps AS t GROUP BY t.node),
parents AS MATERIALIZED (
    SELECT DISTINCT ON (e.node) e.node, e.blocker, n.depth
    FROM edges AS e
    JOIN nearest AS n ON n.node = e.node
    JOIN nearest AS b ON b.node = e.blocker AND b.depth = n.depth - 1
    ORDER BY e.node, e.rank
),
tree AS (
    SELECT r.node, 0 AS depth, ARRAY[r.node] AS path, r.is_deadlock FROM roots AS r
    UNION ALL
    SELECT p.node, p.depth, t.path || p.node, false
    FROM tree AS t
    JOIN parents AS p ON p.blocker = t.node
),
strong AS MATERIALIZED (
    SELECT DISTINCT w.pid::text AS node
    FROM waiters AS w
    JOIN edges AS e ON e.blocker = w.pid::text
    WHERE w.locktype = 'relation'
        AND w.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock',
            'ExclusiveLock', 'AccessExclusiveLock')
),
-- Sessions that would still wait if all strong waiters were cancelled, and these waiters.
stuck AS (
    SELECT r.node FROM roots AS r
    UNION
    SELECT e.node
    FROM stuck AS t
    JOIN edges AS e ON e.blocker = t.node
    WHERE t.node NOT IN (SELECT g.node FROM strong AS g)
),
gates AS MATERIALIZED (
    SELECT r.node, array_agg(g.node::integer ORDER BY g.node::integer) AS pids
    FROM strong AS g
    JOIN stuck AS t ON t.node = g.node
    JOIN reach AS r ON r.ancestor = g.node
    WHERE r.node NOT IN (SELECT t.node FROM stuck AS t)
    GROUP BY r.node
),
above AS MATERIALIZED (
    SELECT r.node, array_agg(r.ancestor ORDER BY r.ancestor) AS roots
    FROM reach AS r
    JOIN roots AS b ON b.node = r.ancestor
    WHERE r.node <> r.ancestor
    GROUP BY r.node
),
victims AS MATERIALIZED (
    SELECT r.ancestor AS node, count(*) AS victims
    FROM reach AS r
    WHERE r.node <> r.ancestor
    GROUP BY r.ancestor
)
SELECT
    n.path[1] AS root,
    n.depth,
    array_to_string(n.path, ' > ') AS path,
    CASE WHEN n.node ~ '^[0-9]+$' THEN n.node::integer END AS pid,
    w.blocked_by,
    CASE WHEN n.node !~ '^[0-9]+$' THEN 'prepared transaction'
        WHEN n.is_deadlock THEN 'deadlock' ELSE s.state END AS state,
    coalesce(v.victims, 0) AS victims,
    CASE WHEN w.pid IS NOT NULL
        THEN statement_timestamp() - coalesce(w.waitstart, s.query_start) END AS waiting,
    w.locktype AS lock_type,
    w.mode AS lock_mode,
    CASE WHEN w.database IS DISTINCT FROM d.oid AND w.database <> 0 THEN w.relation::text
        ELSE w.relation::regclass::text END AS relation,
    statement_timestamp() - coalesce(p.prepared, s.xact_start) AS transaction_age,
    coalesce(p.owner, s.usename) AS user_name,
    s.application_name,
    coalesce(p.database, s.datname) AS database,
    s.client_addr,
    s.backend_start,
    p.gid,
    crewsnow_ops.mask_literals(s.query) AS query,
    k.kind AS session_kind,
    coalesce(b.roots, ARRAY[n.path[1]]) AS roots,
    g.pids AS gates
FROM tree AS n
CROSS JOIN (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) AS d
LEFT JOIN waiters AS w ON w.pid::text = n.node
LEFT JOIN sessions AS s ON s.pid::text = n.node
LEFT JOIN pg_prepared_xacts AS p ON 'prepared ' || p.gid = n.node
LEFT JOIN victims AS v ON v.node = n.node
LEFT JOIN above AS b ON b.node = n.node
LEFT JOIN gates AS g ON g.node = n.node
CROSS JOIN LATERAL (
    SELECT CASE WHEN p.gid IS NOT NULL THEN 'prepared transaction' ELSE @session_kind@ END AS kind
) AS k
ORDER BY (SELECT r.victims FROM victims AS r WHERE r.node = n.path[1]) DESC NULLS LAST, n.path
