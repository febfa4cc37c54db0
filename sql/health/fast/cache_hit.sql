-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: warning below 95 % (pgdoctor; others 98 to 99 %), from 10,000 blocks on (ours). Never critical: a nightly dump reads as badly.
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
figures AS (
    SELECT s.*, ((s.now ->> 'blks_hit')::numeric - coalesce((s.earlier ->> 'blks_hit')::numeric, 0)) AS hit,
        ((s.now ->> 'blks_read')::numeric - coalesce((s.earlier ->> 'blks_read')::numeric, 0)) AS read
    FROM spans AS s
),
judged AS (
    SELECT f.*, round(100 * f.hit / nullif(f.hit + f.read, 0), 2) AS percent,
        CASE WHEN f.hit + f.read >= 10000 AND f.hit < 0.95 * (f.hit + f.read) THEN 'WARNING' ELSE 'OK' END AS status
    FROM figures AS f
)
SELECT
    j.status, j.object, coalesce(j.percent || ' %', 'no blocks read') AS current_value, '>= 95 %' AS threshold,
    format('%s blocks read from outside, %s found in shared buffers', j.read, j.hit) AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        ELSE 'Queries wait for the disk: find those that read much, index them; else more shared_buffers.'
    END AS recommendation,
    CASE WHEN j.status <> 'OK' THEN 'SELECT * FROM analyze_slow_queries() ORDER BY cache_hit_pct;' END AS next_command,
    j.since
FROM judged AS j
WHERE j.part = 'here' OR j.status <> 'OK'
