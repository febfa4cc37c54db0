-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: 50 MB/s (ours; the tools only show it). On a standby the rate of replay.
WITH
parts AS (
    SELECT p.part, p.object, $3 -> p.part AS now, CASE WHEN w.comparable THEN $1 -> p.part END AS earlier,
        CASE WHEN w.comparable THEN greatest(extract(epoch FROM ($3 ->> 'at')::timestamptz - $2), 0.001)
            ELSE greatest(extract(epoch FROM ($3 ->> 'at')::timestamptz) - ($3 -> p.part ->> 'counting_since')::numeric, 0.001)
        END AS seconds,
        w.comparable AS is_window
    FROM (VALUES ('wal', NULL::text)) AS p (part, object)
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
