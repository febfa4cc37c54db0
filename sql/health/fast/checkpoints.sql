-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: more than half of them requested (awesome-prometheus-alerts), at least 2 in a window, 10 in a lifetime (ours).
WITH
parts AS (
    SELECT p.part, p.object, $3 -> p.part AS now, CASE WHEN w.comparable THEN $1 -> p.part END AS earlier,
        CASE WHEN w.comparable THEN greatest(extract(epoch FROM ($3 ->> 'at')::timestamptz - $2), 0.001)
            ELSE greatest(extract(epoch FROM ($3 ->> 'at')::timestamptz) - ($3 -> p.part ->> 'counting_since')::numeric, 0.001)
        END AS seconds,
        w.comparable AS is_window
    FROM (VALUES ('checkpoints', NULL::text)) AS p (part, object)
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
figures AS (
    SELECT s.*, ((s.now ->> 'timed')::numeric - coalesce((s.earlier ->> 'timed')::numeric, 0)) AS timed,
        ((s.now ->> 'requested')::numeric - coalesce((s.earlier ->> 'requested')::numeric, 0)) AS requested,
        ((s.now ->> 'sync_ms')::numeric - coalesce((s.earlier ->> 'sync_ms')::numeric, 0)) AS sync_ms
    FROM spans AS s
),
judged AS (
    SELECT f.*,
        CASE WHEN f.requested > f.timed AND f.requested >= CASE WHEN f.is_window THEN 2 ELSE 10 END THEN 'WARNING' ELSE 'OK' END AS status
    FROM figures AS f
)
SELECT
    j.status, j.object, format('%s requested, %s timed', j.requested, j.timed) AS current_value, '<= 50 % requested' AS threshold,
    format('max_wal_size %s, checkpoint_timeout %s, %s ms in fsync', current_setting('max_wal_size'), current_setting('checkpoint_timeout'),
        round(j.sync_ms)) AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        ELSE 'Writing forces checkpoints, and each makes more writing (full pages), in waves that users feel: raise max_wal_size.'
    END AS recommendation,
    CASE WHEN j.status <> 'OK' THEN
        format(E'ALTER SYSTEM SET max_wal_size = ''%sMB'';\nSELECT pg_reload_conf();',
            2 * (SELECT g.setting::bigint FROM pg_settings AS g WHERE g.name = 'max_wal_size'))
    END AS next_command,
    j.since
FROM judged AS j
