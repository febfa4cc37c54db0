-- $1 oid: a table
-- The session in the way of VACUUM: it holds a conflicting lock, or queues for one. vacuums is
-- true for a process that vacuums the table itself.
SELECT
    coalesce(format('pid %s (%s%s)', s.pid, k.kind,
        coalesce(', ' || s.state, '')
            || coalesce(', transaction open for '
                || date_trunc('second', clock_timestamp() - s.xact_start), '')),
        'a prepared transaction') AS holder,
    CASE WHEN l.pid IS NULL
        THEN 'SELECT format(''ROLLBACK PREPARED %L;'', gid), prepared, owner '
            'FROM pg_prepared_xacts ORDER BY prepared;'
        ELSE c.command
    END AS command,
    EXISTS (
        SELECT FROM pg_stat_get_progress_info('VACUUM') AS p
        WHERE p.pid = l.pid AND p.relid = $1
    ) OR coalesce(s.backend_type = 'autovacuum worker', false) AS vacuums
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS s ON s.pid = l.pid
@session_cut@
WHERE l.locktype = 'relation' AND l.relation = $1
    AND l.database IN (0, (SELECT d.oid FROM pg_database AS d
        WHERE d.datname = current_database()))
    AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock',
        'ExclusiveLock', 'AccessExclusiveLock')
ORDER BY l.granted DESC, s.xact_start
LIMIT 1
