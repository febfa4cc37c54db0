-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: 10 minutes (ours; awesome-prometheus-alerts has 60 s, but who looks by hand comes later). After the crash of a session the postmaster
-- lives on, but all statistics begin anew, which tells (as does pg_stat_reset_shared).
WITH
life AS (
    SELECT
        pg_postmaster_start_time() AS started,
        to_timestamp(($3 -> 'checkpoints' ->> 'counting_since')::float8) AS counting_since,
        CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END AS role,
        CASE ($1 ->> 'in_recovery')::boolean WHEN true THEN 'standby' WHEN false THEN 'primary' END AS earlier_role
),
judged AS (
    SELECT l.*,
        l.earlier_role <> l.role AS has_changed,
        l.started > statement_timestamp() - interval '10 minutes' AS is_fresh,
        l.counting_since > l.started + interval '1 s' AND l.counting_since > statement_timestamp() - interval '10 minutes' AS has_crashed
    FROM life AS l
)
SELECT
    CASE WHEN j.has_changed OR j.is_fresh OR j.has_crashed THEN 'WARNING' ELSE 'OK' END AS status, NULL::text AS object,
    concat_ws(', ', j.role || CASE WHEN j.has_changed THEN ', was ' || j.earlier_role ELSE '' END,
        'up ' || date_trunc('second', statement_timestamp() - j.started)) AS current_value,
    'up for 10 minutes, same role' AS threshold,
    format('started %s, statistics since %s', j.started, j.counting_since) AS evidence,
    CASE WHEN j.has_changed THEN 'It changed roles: see that the other server is fenced, and that clients and standbys follow.'
        WHEN j.has_crashed THEN 'A session crashed and took all others with it, or somebody reset the statistics: the server''s log says which.'
        WHEN j.is_fresh THEN 'It restarted: caches are cold, and if nobody meant it, the server''s log says why.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN j.has_changed THEN 'SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_replication) AS standbys;'
        WHEN j.is_fresh OR j.has_crashed THEN 'SELECT pg_postmaster_start_time(), pg_current_logfile();'
    END AS next_command,
    CASE WHEN j.earlier_role IS NOT NULL THEN 'since ' || $2 ELSE 'now' END AS since
FROM judged AS j
