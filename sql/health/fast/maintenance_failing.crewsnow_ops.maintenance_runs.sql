-- Limit: a step of the last run failed (ours). A table that was vacuumed since, and an index that
-- is valid or gone, are no problem any more. Steps whose worker is gone were cut short.
WITH
last_run AS (
    SELECT m.run_id, m.started_at, m.run_by
    FROM crewsnow_ops.maintenance_runs AS m
    WHERE m.step = 0 AND m.task = 'run'
    ORDER BY m.started_at DESC
    LIMIT 1
),
steps AS (
    SELECT m.*, l.run_by AS role, m.verdict = 'STARTED' AS is_cut_short,
        CASE WHEN m.task IN ('vacuum', 'analyze', 'rebuild') THEN to_regclass(m.object) END
            AS relid
    FROM last_run AS l
    JOIN crewsnow_ops.maintenance_runs AS m ON m.run_id = l.run_id
    WHERE m.verdict = 'FAILED' AND m.step > 0
        OR m.verdict = 'STARTED' AND NOT EXISTS (
            SELECT FROM pg_stat_get_activity(m.worker_pid) AS a
            -- The start of a process is hidden from most roles.
            WHERE coalesce(a.backend_start <= m.started_at, true))
),
failed AS (
    SELECT s.*
    FROM steps AS s
    LEFT JOIN pg_stat_all_tables AS t ON t.relid = s.relid
    LEFT JOIN pg_index AS i ON i.indexrelid = s.relid
    WHERE CASE s.task
            WHEN 'vacuum' THEN s.relid IS NOT NULL
                AND coalesce(greatest(t.last_vacuum, t.last_autovacuum) <= s.started_at, true)
            WHEN 'analyze' THEN s.relid IS NOT NULL
                AND coalesce(greatest(t.last_analyze, t.last_autoanalyze) <= s.started_at, true)
            WHEN 'rebuild' THEN NOT i.indisvalid
            ELSE true
        END
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.step) AS rank, count(*) OVER () AS total
    FROM failed AS f
)
SELECT 'WARNING' AS status,
    CASE r.step WHEN 0 THEN 'the last run' ELSE concat(r.task, ' ', r.object) END AS object,
    CASE WHEN r.is_cut_short THEN 'cut short' ELSE 'failed' END AS current_value,
    'the last run succeeds' AS threshold,
    format('run of %s: %s', r.role,
        coalesce(left(regexp_replace(r.detail, '\s+', ' ', 'g'), 160), 'no detail'))
        || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5) ELSE '' END
        AS evidence,
    CASE WHEN r.is_cut_short THEN 'The worker of this run is gone: run maintenance again.'
        ELSE 'Maintenance could not do this: read its reason, then run maintenance again.' END
        AS recommendation,
    format('SELECT task, object, verdict, detail, command FROM crewsnow_ops.maintenance_runs '
        'WHERE run_id = %L AND verdict <> ''DONE'' ORDER BY step;', r.run_id) AS next_command,
    'since ' || date_trunc('second', r.started_at) AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, coalesce('last run ' || (SELECT date_trunc('second', l.started_at)
        FROM last_run AS l), 'no run on record'),
    'the last run succeeds', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
