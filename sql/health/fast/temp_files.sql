-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: 1 GB an hour (pgdoctor; its 5 GB is a failure there, here a warning, too: slow, but nobody is refused).
WITH
counted (part, object) AS (VALUES ('here', 'database ' || current_database()), ('others', 'other databases')),
@spans@,
judged AS (
    SELECT s.*, ((s.now ->> 'temp_files')::numeric - coalesce((s.earlier ->> 'temp_files')::numeric, 0)) AS files,
        ((s.now ->> 'temp_bytes')::numeric - coalesce((s.earlier ->> 'temp_bytes')::numeric, 0)) AS bytes,
        CASE WHEN ((s.now ->> 'temp_bytes')::numeric - coalesce((s.earlier ->> 'temp_bytes')::numeric, 0))
                >= 1073741824 * greatest(s.seconds / 3600, 1.0 / 60)
            THEN 'WARNING' ELSE 'OK' END AS status
    FROM spans AS s
)
SELECT
    j.status, j.object, pg_size_pretty(round(j.bytes * 3600 / greatest(j.seconds, 60))) || ' an hour' AS current_value, '< 1 GB an hour' AS threshold,
    format('%s temporary files, %s', j.files, pg_size_pretty(j.bytes)) AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        ELSE 'Sorts and hashes do not fit work_mem and go to disk, which is slow and may fill it: find the statements, raise work_mem for their role.'
    END AS recommendation,
    CASE WHEN j.status <> 'OK' THEN 'SELECT * FROM analyze_slow_queries() ORDER BY temp_mb_per_call DESC NULLS LAST;' END AS next_command,
    j.since
FROM judged AS j
WHERE j.part = 'here' OR j.status <> 'OK'
