-- Limits: ten active sessions, and more than half of all, in the same wait (ours; the tools only
-- show waits). A session counts if its statement has been running for over 1 s: a busy server waits
-- a little in each statement, and that is no fault. Waits that name a cause count from the start.
-- Client:ClientRead is left out: state and wait are not read at one instant, and a session between
-- two messages of its client does not wait. The check asks twice.
WITH
active AS MATERIALIZED (
    SELECT s.pid, s.application_name, s.query, s.query_start,
        -- A lookup of old transactions waits for the lock or for the buffer of the same cache.
        coalesce(s.wait_event_type || ':'
            || regexp_replace(s.wait_event, '^((?:Subtrans|MultiXact).*)Buffer$', '\1SLRU'), 'CPU')
            AS wait,
        (s.wait_event_type IS NOT NULL AND s.wait_event_type <> 'Timeout'
            AND s.query_start < statement_timestamp() - interval '1 s')
            OR (s.wait_event_type = 'LWLock'
                AND s.wait_event ~* '^(lock_?manager|subtrans|multixact)') AS is_stuck
    FROM pg_stat_activity AS s
    WHERE s.state = 'active' AND s.backend_type IN ('client backend', 'parallel worker')
        AND s.pid <> pg_backend_pid()
        AND s.wait_event IS DISTINCT FROM 'ClientRead'
),
waits AS (
    SELECT a.wait, count(*) AS sessions, count(*) FILTER (WHERE a.is_stuck) AS stuck,
        sum(count(*)) OVER () AS total,
        row_number() OVER (ORDER BY count(*) DESC, a.wait) AS rank
    FROM active AS a
    GROUP BY a.wait
),
top AS (SELECT w.* FROM waits AS w ORDER BY w.stuck DESC, w.rank LIMIT 1),
judged AS (
    SELECT
        (SELECT string_agg(format('%s %s', w.wait, w.sessions), ', ' ORDER BY w.rank)
            FROM waits AS w WHERE w.rank <= 5) AS profile,
        t.wait, t.stuck, t.total,
        CASE WHEN NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN 'SKIPPED'
            WHEN t.stuck >= @wait_profile.warning@ AND t.stuck * 2 > t.total THEN 'WARNING'
            ELSE 'OK'
        END AS status,
        CASE WHEN t.wait ILIKE 'LWLock:lock%manager' THEN 'lock manager'
            WHEN t.wait ILIKE 'LWLock:subtrans%' THEN 'subtransactions'
            WHEN t.wait ILIKE 'LWLock:multixact%' THEN 'multixacts'
            ELSE split_part(t.wait, ':', 1)
        END AS kind
    FROM (SELECT 1) AS one
    LEFT JOIN top AS t ON true
),
-- Snapshots look up subtransactions on disk while a long transaction needs them.
oldest AS (
    SELECT s.pid, s.backend_start, s.xact_start, s.application_name
    FROM pg_stat_activity AS s
    WHERE (SELECT j.status = 'WARNING' AND j.kind = 'subtransactions' FROM judged AS j)
        AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
        AND s.xact_start IS NOT NULL
    ORDER BY s.xact_start
    LIMIT 1
)
SELECT
    j.status, CASE WHEN j.status = 'WARNING' THEN 'wait ' || j.wait END AS object,
    CASE WHEN j.status <> 'SKIPPED' THEN coalesce(j.profile, 'no active session') END
        AS current_value,
    '< @wait_profile.warning@ in the same wait' AS threshold,
    CASE WHEN j.status = 'SKIPPED' THEN 'other users'' waits are hidden from this role'
        ELSE format('%s active sessions and parallel workers', coalesce(j.total, 0)) END
        || CASE WHEN j.status <> 'WARNING' THEN ''
            ELSE CASE j.kind
                WHEN 'lock manager' THEN (
                    SELECT format('; one of them locks %s tables and indexes', max(l.locks))
                    FROM (SELECT count(*) AS locks FROM pg_locks AS k
                        WHERE k.locktype = 'relation'
                            AND k.pid IN (SELECT a.pid FROM active AS a WHERE a.wait = j.wait)
                        GROUP BY k.pid) AS l)
                WHEN 'subtransactions' THEN coalesce((
                    SELECT format('; oldest transaction: pid %s, application %s, since %s', o.pid,
                        coalesce(nullif(o.application_name, ''), '(none)'), o.xact_start)
                    FROM oldest AS o), '')
                ELSE '' END
                || (SELECT format(E'; most, %s, from application %s\nquery: %s', count(*),
                        coalesce(nullif(a.application_name, ''), '(none)'), left(min(a.query), 300))
                    FROM active AS a WHERE a.wait = j.wait
                    GROUP BY a.application_name ORDER BY count(*) DESC LIMIT 1)
            END AS evidence,
    CASE j.status WHEN 'SKIPPED' THEN 'Grant pg_monitor to this role.'
        WHEN 'WARNING' THEN
            CASE j.kind
                WHEN 'lock manager'
                    THEN 'Each statement locks more tables and indexes than a session keeps for '
                        'itself, such as all partitions: let it name the partition key, or detach '
                        'partitions and drop indexes.'
                WHEN 'subtransactions'
                    THEN 'A long transaction beside savepoints makes each snapshot look up '
                        'subtransactions: end the oldest transaction, here or on the primary, then '
                        'use fewer savepoints.'
                WHEN 'multixacts'
                    THEN 'Many transactions lock the same rows, such as the target of a foreign '
                        'key: run fewer of them at once, and keep them short.'
                WHEN 'Lock' THEN 'The sessions queue for a lock: end the root blocker.'
                WHEN 'LWLock'
                    THEN 'The sessions compete inside the server: run fewer of them at once.'
                WHEN 'IO'
                    THEN 'The sessions wait for the disk: find the statements that read or write '
                        'most.'
                WHEN 'Client'
                    THEN 'The sessions wait for their clients: check the network and the '
                        'application.'
                WHEN 'IPC'
                    THEN 'The sessions wait for other processes, such as a synchronous standby.'
                ELSE 'Most active sessions share one wait: find out its cause.'
            END
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE j.status WHEN 'SKIPPED' THEN format('GRANT pg_monitor TO %I;', current_user)
        WHEN 'WARNING' THEN
            CASE WHEN j.kind = 'Lock' THEN 'SELECT * FROM crewsnow_ops.blocking_tree;'
                WHEN j.kind = 'subtransactions' AND NOT pg_is_in_recovery()
                    AND EXISTS (SELECT FROM oldest)
                    THEN (SELECT format('SELECT crewsnow_ops.terminate_session(%s, %L);', o.pid,
                        to_char(o.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
                            || '+00') FROM oldest AS o)
                ELSE format('SELECT pid, usename, application_name, query_start FROM '
                    'pg_stat_activity WHERE wait_event = %L ORDER BY query_start;',
                    split_part(j.wait, ':', 2)) END
    END AS next_command,
    'now' AS since
FROM judged AS j
