-- $1 jsonb: earlier counters or NULL; $2 timestamptz: their time or NULL; $3 jsonb: current
-- counters
-- Limits: on average more than one an hour (ours), an hour at least. A standby cannot take samples,
-- so the figure is of the lifetime.
WITH
conflicts AS (
    SELECT sum(c.confl_tablespace) AS tablespaces, sum(c.confl_lock) AS locks,
        sum(c.confl_snapshot) AS snapshots, sum(c.confl_bufferpin) AS pins,
        sum(c.confl_deadlock) AS deadlocks
    FROM pg_stat_database_conflicts AS c
),
measured AS (
    SELECT c.*, c.tablespaces + c.locks + c.snapshots + c.pins + c.deadlocks AS total,
        to_timestamp(($3 -> 'checkpoints' ->> 'counting_since')::float8) AS counting_since
    FROM conflicts AS c
),
judged AS (
    SELECT m.*, m.total > @recovery_conflicts.warning@ * greatest(1, coalesce(
            extract(epoch FROM statement_timestamp() - m.counting_since) / 3600, 1))
        AS is_frequent
    FROM measured AS m
)
SELECT
    CASE WHEN j.is_frequent THEN 'WARNING' ELSE 'OK' END AS status, NULL::text AS object,
    CASE WHEN pg_is_in_recovery() THEN format('%s statements cancelled', j.total)
        ELSE 'no standby' END AS current_value,
    '<= @recovery_conflicts.warning@ an hour' AS threshold,
    format('%s by removed rows, %s by locks, %s by pinned buffers, %s by tablespaces, %s by '
        'deadlocks; hot_standby_feedback %s, max_standby_streaming_delay %s', j.snapshots, j.locks,
        j.pins, j.tablespaces, j.deadlocks, current_setting('hot_standby_feedback'),
        current_setting('max_standby_streaming_delay')) AS evidence,
    CASE WHEN NOT j.is_frequent THEN 'Nothing to do.'
        WHEN j.locks > j.snapshots + j.pins
            THEN 'Replay cancels queries that hold tables which the primary changes: run such DDL '
                'at quiet times, or raise max_standby_streaming_delay.'
        ELSE 'Replay cancels queries that read rows which the primary has removed: turn on '
            'hot_standby_feedback, which lets tables of the primary grow, or raise '
            'max_standby_streaming_delay, which delays replay.'
    END AS recommendation,
    CASE WHEN j.is_frequent
        THEN 'SELECT * FROM pg_catalog.pg_stat_database_conflicts ORDER BY confl_snapshot + '
            'confl_lock + confl_bufferpin DESC LIMIT 5;' END AS next_command,
    'lifetime since ' || coalesce(to_char(j.counting_since, 'YYYY-MM-DD HH24:MI'), 'unknown')
        AS since
FROM judged AS j
