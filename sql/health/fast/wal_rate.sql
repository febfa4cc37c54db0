-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: 50 MB/s (ours; the tools only show it). On a standby the rate of replay.
WITH
counted (part, object) AS (VALUES ('wal', NULL::text)),
@spans@,
lsn AS (
    SELECT s.*,
        CASE WHEN s.is_window AND ($1 -> 'in_recovery') = ($3 -> 'in_recovery')
            THEN ($3 -> 'lsn' ->> 'position')::numeric - ($1 -> 'lsn' ->> 'position')::numeric
            ELSE ((s.now ->> 'bytes')::numeric - coalesce((s.earlier ->> 'bytes')::numeric, 0))
        END AS bytes,
        ((s.now ->> 'full_pages')::numeric - coalesce((s.earlier ->> 'full_pages')::numeric, 0)) AS full_pages,
        ((s.now ->> 'buffers_full')::numeric - coalesce((s.earlier ->> 'buffers_full')::numeric, 0)) AS buffers_full
    FROM spans AS s
)
SELECT
    CASE WHEN l.is_window AND l.bytes >= 50e6 * l.seconds THEN 'WARNING' ELSE 'OK' END AS status,
    l.object, pg_size_pretty(round(l.bytes / l.seconds)) || '/s' AS current_value, '< 50 MB/s' AS threshold,
    format('%s written, %s full pages, %s times the buffers were full', pg_size_pretty(l.bytes), l.full_pages, l.buffers_full) AS evidence,
    CASE WHEN l.is_window AND l.bytes >= 50e6 * l.seconds
        THEN 'Standbys, archive and disk must keep up with it: find the statements that write.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN l.is_window AND l.bytes >= 50e6 * l.seconds
        THEN 'SELECT * FROM analyze_slow_queries() ORDER BY wal_bytes_per_call DESC NULLS LAST;'
    END AS next_command,
    l.since
FROM lsn AS l
