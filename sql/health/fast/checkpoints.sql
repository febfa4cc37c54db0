-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: more than half of them requested (awesome-prometheus-alerts), at least 2 in a window, 10 in a lifetime (ours).
WITH
counted (part, object) AS (VALUES ('checkpoints', NULL::text)),
@spans@,
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
