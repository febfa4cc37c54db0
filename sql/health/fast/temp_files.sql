-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: 1 GB an hour (pgdoctor; its 5 GB is a failure there, here a warning, too: slow, but nobody is refused).
WITH
parts AS (
    SELECT p.part, p.object, $3 -> p.part AS now, CASE WHEN w.comparable THEN $1 -> p.part END AS earlier,
        CASE WHEN w.comparable THEN greatest(extract(epoch FROM ($3 ->> 'at')::timestamptz - $2), 0.001)
            ELSE greatest(extract(epoch FROM ($3 ->> 'at')::timestamptz) - ($3 -> p.part ->> 'counting_since')::numeric, 0.001)
        END AS seconds,
        w.comparable AS is_window
    FROM (VALUES ('here', 'database ' || current_database()), ('others', 'other databases')) AS p (part, object)
    -- Counters of different lives do not compare: after a reset or a crash the figure is of the life since then.
    CROSS JOIN LATERAL (
        SELECT $2 IS NOT NULL AND $1 ? p.part AND $1 -> p.part -> 'counting_since' = $3 -> p.part -> 'counting_since'
            AND NOT EXISTS (
                SELECT FROM jsonb_each_text($1 -> p.part) AS e WHERE ($3 -> p.part ->> e.key)::numeric < e.value::numeric
            ) AS comparable
    ) AS w
),
spans AS (
    SELECT p.*,
        CASE WHEN NOT p.is_window THEN
                'lifetime since ' || coalesce(to_char(to_timestamp((p.now ->> 'counting_since')::float8), 'YYYY-MM-DD HH24:MI'), 'unknown')
            WHEN p.seconds < 120 THEN format('last %s s', round(p.seconds))
            ELSE format('last %s min', round(p.seconds / 60))
        END AS since
    FROM parts AS p
    WHERE p.now IS NOT NULL
),
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
