-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: warning below 95 % (pgdoctor; others 98 to 99 %), from 10,000 blocks on (ours). Never critical: a nightly dump reads as badly.
WITH
counted (part, object) AS (VALUES ('here', 'database ' || current_database()), ('others', 'other databases')),
@spans@,
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
