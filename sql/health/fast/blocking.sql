-- Limits: a wait of 30 s (pgFirstAid), or more than 5 blocked (pgEdge) for over a second; critical
-- 3 blocked and 300 s (pganalyze). One row for each cheapest safe cut. Any role may read pg_locks,
-- so this check is never skipped.
--
-- The cut is a waiting statement if most victims wait for it alone: it has done nothing yet.
-- A backup and a vacuum against wraparound are never cut; a statement that waits for them is. Else
-- the cut is the root blocker: a statement that works is cancelled, an idle session ended.
WITH
tree AS MATERIALIZED (SELECT * FROM crewsnow_ops.blocking_tree),
jams AS MATERIALIZED (
    SELECT r.*, j.blocked, j.longest, j.freed, j.row_table, j.most_roots,
        r.session_kind IN ('backup', 'wraparound vacuum') AS is_protected,
        CASE WHEN j.blocked >= 3 AND j.longest >= interval '@blocked_sessions.critical@ s'
                THEN 'CRITICAL'
            WHEN j.longest >= interval '@blocked_sessions.warning@ s'
                OR (j.blocked > @blocked_sessions.sessions@ AND j.longest >= interval '1 s')
                THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM tree AS r
    CROSS JOIN LATERAL (
        SELECT count(v.waiting) AS blocked, max(v.waiting) AS longest,
            count(*) FILTER (WHERE v.gates IS NOT NULL) AS freed,
            max(v.relation) FILTER (WHERE v.lock_type = 'tuple') AS row_table,
            max(cardinality(v.roots)) AS most_roots
        FROM tree AS v
        WHERE r.root = ANY (v.roots)
    ) AS j
    WHERE r.depth = 0
),
bad AS MATERIALIZED (SELECT j.* FROM jams AS j WHERE j.status <> 'OK'),
waiters AS (
    SELECT b.root, g.pid, true AS is_gate
    FROM bad AS b
    JOIN tree AS v ON b.root = ANY (v.roots)
    CROSS JOIN unnest(v.gates) AS g (pid)
    UNION
    SELECT b.root, v.pid, false
    FROM bad AS b
    JOIN tree AS v ON b.root = ANY (v.roots) AND v.depth = 1
    -- CREATE INDEX CONCURRENTLY waits for old snapshots. A cancel would leave an invalid index.
    WHERE b.is_protected AND v.lock_type <> 'virtualxid'
),
waiter_cuts AS (
    SELECT w.root, w.is_gate, count(*) AS total,
        bool_and(k.kind IN ('client', 'hidden')) AS is_safe,
        (array_agg(t.pid ORDER BY t.victims DESC, t.waiting DESC, t.pid))[1] AS pid,
        (array_agg(c.command ORDER BY t.victims DESC, t.waiting DESC, t.pid)
            FILTER (WHERE k.kind IN ('client', 'hidden')))[:5] AS commands,
        (array_agg('pid ' || t.pid ORDER BY t.victims DESC, t.waiting DESC, t.pid))[2:5] AS others
    FROM waiters AS w
    JOIN tree AS t ON t.pid = w.pid
    LEFT JOIN pg_stat_activity AS s ON s.pid = t.pid
    CROSS JOIN LATERAL (SELECT t.session_kind AS kind) AS k
    CROSS JOIN LATERAL (
        SELECT
@session_command@
            AS command
    ) AS c
    GROUP BY w.root, w.is_gate
),
cuts AS (
    SELECT b.*, w.pid AS waiter, w.total AS waiters, w.commands, w.others, w.is_gate,
        s.wait_event_type, s.wait_event,
        CASE WHEN w.pid IS NOT NULL THEN NULL
            WHEN b.gid IS NOT NULL THEN 'prepared transaction'
            WHEN b.state = 'deadlock' THEN 'deadlock'
            WHEN b.session_kind = 'client' AND b.transaction_age < interval '1 s'
                AND b.longest >= interval '5 s' THEN 'hot row'
            WHEN s.wait_event = 'SyncRep' THEN 'synchronous commit'
            WHEN b.session_kind = 'client' THEN
                CASE WHEN s.state = 'idle' THEN 'idle'
                    WHEN s.state LIKE 'idle%' THEN 'idle in transaction'
                    WHEN s.wait_event_type = 'Client' THEN 'waits for its client'
                    ELSE 'works' END
            ELSE b.session_kind
        END AS cause,
        c.command
    FROM bad AS b
    LEFT JOIN LATERAL (
        SELECT w.*
        FROM waiter_cuts AS w
        WHERE w.root = b.root AND w.commands IS NOT NULL AND (
            (w.is_gate AND w.is_safe AND 2 * b.freed >= b.blocked - w.total
                AND (w.total <= 5 OR b.is_protected))
            OR (b.is_protected AND NOT w.is_gate))
        ORDER BY w.is_gate DESC
        LIMIT 1
    ) AS w ON true
    LEFT JOIN pg_stat_activity AS s ON s.pid = b.pid
    CROSS JOIN LATERAL (SELECT b.session_kind AS kind) AS k
    CROSS JOIN LATERAL (
        SELECT
@session_command@
            AS command
    ) AS c
),
-- Roots with the same cut are one finding.
findings AS (
    SELECT u.*, count(*) OVER () AS total,
        row_number() OVER (ORDER BY u.status, u.blocked DESC, u.longest DESC) AS rank
    FROM (
        SELECT DISTINCT ON (coalesce(c.commands::text, c.root)) c.*
        FROM cuts AS c
        ORDER BY coalesce(c.commands::text, c.root), c.status, c.blocked DESC, c.longest DESC
    ) AS u
)
SELECT
    f.status,
    CASE WHEN f.waiter IS NOT NULL THEN 'pid ' || f.waiter
        WHEN f.gid IS NULL THEN 'pid ' || f.pid
        ELSE 'prepared transaction ' || f.gid END AS object,
    format('%s blocked, longest %s', f.blocked, date_trunc('second', f.longest)) AS current_value,
    '< @blocked_sessions.warning@ s, <= @blocked_sessions.sessions@ blocked' AS threshold,
    concat_ws('; ',
        CASE WHEN f.waiter IS NOT NULL THEN format('waits for %s on %s, user %s, application %s',
            t.lock_mode, t.relation, coalesce(t.user_name::text, '?'),
            coalesce(nullif(t.application_name, ''), '(none)')) END,
        'and so do ' || nullif(array_to_string(f.others, ', '), ''),
        CASE WHEN f.waiter IS NOT NULL THEN 'behind ' ELSE '' END
            || CASE WHEN f.gid IS NOT NULL THEN 'prepared transaction ' || f.gid
                ELSE format('pid %s (%s)', f.pid, f.session_kind) END
            || format(': state %s, user %s, application %s, database %s, transaction of %s',
                coalesce(f.state, '(hidden)'), coalesce(f.user_name::text, '?'),
                coalesce(nullif(f.application_name, ''), '(none)'),
                coalesce(f.database::text, '(none)'), date_trunc('second', f.transaction_age)),
        CASE WHEN f.most_roots > 1
            THEN format('its victims wait for %s other root blockers too', f.most_roots - 1) END,
        'the victims queue for a row of ' || f.row_table,
        CASE WHEN f.rank = 1 AND f.total > 5 THEN format('%s more root blockers', f.total - 5) END)
        || coalesce(E'\nquery: '
            || left(CASE WHEN f.waiter IS NULL THEN f.query ELSE t.query END, 300), '') AS evidence,
    CASE WHEN f.is_gate THEN
            format('%s sessions wait only because this statement waits: cancel it. They continue, '
                'nothing is lost, and pid %s keeps its work. Run it again later, with '
                'lock_timeout.', f.freed, coalesce(f.pid::text, f.gid))
            || CASE WHEN f.waiters > 5 THEN format(' %s more such statements wait.', f.waiters - 5)
                ELSE '' END
        WHEN f.waiter IS NOT NULL THEN
            format('The %s (pid %s) must go on: cancel the statement that waits for it, or wait. '
                'Nothing is lost.', f.session_kind, f.pid)
        ELSE CASE f.cause
            WHEN 'prepared transaction' THEN
                format('Prepared by %s: ask its coordinator for the outcome. ROLLBACK PREPARED '
                    'discards its work for good; COMMIT PREPARED %L keeps it.', f.user_name, f.gid)
            WHEN 'deadlock' THEN
                'The server breaks a deadlock after deadlock_timeout. Cancelling one of its '
                'statements is enough.'
            WHEN 'hot row' THEN
                'Short transactions queue for the same row: ending this one frees only the next. '
                'Stop some of the writers, then spread or batch their writes.'
            WHEN 'synchronous commit' THEN
                'Its commit waits for a synchronous standby: see the check Replication. A cancel '
                'would commit without the standby.'
            WHEN 'works' THEN
                'The blocked sessions wait for this working statement: cancel it, unless its work '
                'matters more. Its transaction rolls back, its connection stays.'
            WHEN 'waits for its client' THEN
                'It waits for its own client, so a cancel does not reach it: end it. Its '
                'transaction rolls back.'
            WHEN 'idle in transaction' THEN
                'It holds the lock and does nothing: end it. Its uncommitted work is lost; the '
                'others continue.'
            WHEN 'idle' THEN
                'It keeps an advisory lock between transactions: end it, if its client cannot '
                'release the lock.'
            WHEN 'own session' THEN
                'Your own transaction holds the lock: commit it or roll it back.'
            WHEN 'hidden' THEN
                'This role cannot see the session that the others wait for: grant it pg_monitor.'
            WHEN 'startup' THEN
                'Replay holds the lock for a transaction of the primary: end that one there. '
                'Ending the startup process would stop this standby.'
            WHEN 'autovacuum' THEN
                'An autovacuum worker that does not yield: cancel it. Autovacuum tries again.'
            WHEN 'wraparound vacuum' THEN
                'A vacuum against wraparound must finish: wait for it.'
            WHEN 'backup' THEN 'A backup would have to start again: wait for it.'
            ELSE format('A process of the server or of replication (%s): look, and do not end it.',
                f.cause)
        END
    END AS recommendation,
    CASE WHEN f.commands IS NOT NULL THEN
            CASE WHEN pg_is_in_recovery() OR f.commands[1] LIKE 'GRANT%' THEN f.commands[1]
                ELSE 'SELECT ' || (
                    SELECT string_agg(regexp_replace(u.command, '^SELECT |;$', '', 'g'), ', '
                        ORDER BY u.position)
                    FROM unnest(f.commands) WITH ORDINALITY AS u (command, position)
                ) || ';'
            END
        WHEN f.gid IS NOT NULL THEN
            CASE WHEN f.database = current_database() THEN ''
                ELSE format(E'\\connect %I\n', f.database) END
                || format('ROLLBACK PREPARED %L;', f.gid)
        WHEN f.cause IN ('hot row', 'startup') THEN 'SELECT * FROM crewsnow_ops.blocking_tree;'
        WHEN f.cause = 'synchronous commit' THEN 'SELECT * FROM pg_stat_replication;'
        ELSE f.command
    END AS next_command,
    'now' AS since
FROM (SELECT r.* FROM findings AS r WHERE r.rank <= 5 ORDER BY r.rank) AS f
LEFT JOIN tree AS t ON t.pid = f.waiter
UNION ALL
SELECT 'OK', NULL, format('%s blocked', coalesce(sum(j.blocked), 0)),
    '< @blocked_sessions.warning@ s, <= @blocked_sessions.sessions@ blocked', NULL,
    'Nothing to do.', NULL, 'now'
FROM jams AS j
HAVING NOT EXISTS (SELECT FROM findings)
