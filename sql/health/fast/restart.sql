-- $1 jsonb: earlier counters or NULL; $2 timestamptz: their time or NULL; $3 jsonb: current
-- counters
-- Limits: 10 minutes (ours; the 60 s of awesome-prometheus-alerts are too short for a check run by
-- hand). A server that was shut down keeps its statistics, so a planned restart is no fault. After
-- a crash they start anew. After the crash of a session the postmaster keeps running, but all
-- statistics start anew, too; pg_stat_reset_shared looks the same.
WITH
server AS (
    SELECT
        pg_postmaster_start_time() AS started,
        to_timestamp(($3 -> 'checkpoints' ->> 'counting_since')::float8) AS counting_since,
        CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END AS role,
        CASE ($1 ->> 'in_recovery')::boolean WHEN true THEN 'standby' WHEN false THEN 'primary' END
            AS earlier_role
),
judged AS (
    SELECT l.*,
        l.earlier_role <> l.role AS role_changed,
        l.started > statement_timestamp() - interval '@restart.warning@ minutes'
            AND l.counting_since >= l.started AS has_restarted,
        l.started > statement_timestamp() - interval '@restart.warning@ minutes'
            AND l.counting_since < l.started AS was_shut_down,
        l.counting_since > l.started + interval '1 s'
            AND l.counting_since > statement_timestamp() - interval '@restart.warning@ minutes'
            AS has_crashed
    FROM server AS l
)
SELECT
    CASE WHEN j.role_changed OR j.has_restarted OR j.has_crashed THEN 'WARNING' ELSE 'OK' END
        AS status, NULL::text AS object,
    concat_ws(', ', j.role || CASE WHEN j.role_changed THEN ', was ' || j.earlier_role ELSE '' END,
        'up ' || date_trunc('second', statement_timestamp() - j.started)) AS current_value,
    'up for @restart.warning@ minutes, same role' AS threshold,
    format('started %s, statistics since %s', j.started, j.counting_since)
        || CASE WHEN j.was_shut_down THEN '; it had been shut down cleanly' ELSE '' END AS evidence,
    CASE WHEN j.role_changed
        THEN 'The server changed its role: make sure that the other server is fenced, and that '
            'clients and standbys follow.'
        WHEN j.has_crashed
            THEN 'A session crashed and ended all others, or the statistics were reset: the server '
                'log tells which.'
        WHEN j.has_restarted
            THEN 'The server started after a crash and its caches are cold: read the cause in the '
                'server log.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN j.role_changed
        THEN 'SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_replication) AS standbys;'
        WHEN j.has_restarted OR j.has_crashed
            THEN 'SELECT pg_catalog.pg_postmaster_start_time(), ' ||
                'pg_catalog.current_setting(''log_directory'');'
    END AS next_command,
    CASE WHEN j.earlier_role IS NOT NULL THEN 'since ' || $2 ELSE 'now' END AS since
FROM judged AS j
