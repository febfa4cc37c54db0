-- $1 oid[]: tables with more than 10,000 dead rows or, except TOAST tables, more than a million
-- rows inserted since the last vacuum
-- Limits: more dead rows than the table's own threshold, and over 10,000
-- (awesome-prometheus-alerts). They must also be 20 % (pgdoctor), or ten times the threshold
-- (ours). Critical: a million dead rows (ours) and 40 % (pgdoctor) while no vacuum runs. Inserted
-- rows: ten times their threshold and a million (ours). Thresholds are computed as autovacuum does.
-- Reloptions come first; a TOAST table without any takes those of its table. PostgreSQL 18 caps the
-- threshold. reltuples -1 counts as 0.
--
-- A vacuum frees nothing that a snapshot still sees. Rows die evenly between the last vacuum and
-- now, as far as known: if the oldest snapshot covers half of that time, its holder is named, and
-- not VACUUM. Without a vacuum or a time of the snapshot, transaction ids measure the time since
-- the table was made or frozen. Snapshots of less than three seconds are normal.
WITH
@horizon_holders@,
settings AS (
    SELECT
        current_setting('autovacuum')::boolean
            AND current_setting('track_counts')::boolean AS is_on,
        current_setting('autovacuum_vacuum_threshold')::float8 AS base,
        current_setting('autovacuum_vacuum_scale_factor')::float8 AS scale,
        current_setting('autovacuum_vacuum_insert_threshold')::float8 AS ins_base,
        current_setting('autovacuum_vacuum_insert_scale_factor')::float8 AS ins_scale,
        coalesce(current_setting('autovacuum_vacuum_max_threshold', true), '-1')::float8
            AS max_threshold
),
candidates AS MATERIALIZED (
    SELECT c.oid, c.relkind, greatest(c.reltuples, 0) AS reltuples, c.reloptions,
        age(c.relfrozenxid) AS frozen_age,
        greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid))
            AS last_vacuum,
        pg_stat_get_dead_tuples(c.oid) AS dead, pg_stat_get_ins_since_vacuum(c.oid) AS inserted
    FROM unnest($1) AS u (oid)
    JOIN pg_class AS c ON c.oid = u.oid
),
tables AS (
    SELECT m.*, coalesce(t.oid, m.oid) AS vacuum_target, pg_stat_get_live_tuples(m.oid) AS live,
        coalesce(o.is_enabled, true) AS is_enabled,
        least(coalesce(o.base, s.base) + coalesce(o.scale, s.scale) * m.reltuples,
            CASE WHEN coalesce(o.max_threshold, s.max_threshold) >= 0
                THEN coalesce(o.max_threshold, s.max_threshold) END) AS threshold,
        CASE WHEN coalesce(o.ins_base, s.ins_base) >= 0
            THEN coalesce(o.ins_base, s.ins_base) + coalesce(o.ins_scale, s.ins_scale) * m.reltuples
        END AS ins_threshold,
        s.is_on
    FROM candidates AS m
    CROSS JOIN settings AS s
    -- Through pg_depend: pg_class has no index on reltoastrelid.
    LEFT JOIN pg_depend AS d ON m.relkind = 't' AND d.classid = 'pg_class'::regclass
        AND d.objid = m.oid AND d.objsubid = 0
        AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
    LEFT JOIN pg_class AS t ON t.oid = d.refobjid AND t.reltoastrelid = m.oid
    CROSS JOIN LATERAL (
        SELECT
            bool_and(x.option_value::boolean)
                FILTER (WHERE x.option_name = 'autovacuum_enabled') AS is_enabled,
            max(x.option_value::float8)
                FILTER (WHERE x.option_name = 'autovacuum_vacuum_threshold') AS base,
            max(x.option_value::float8)
                FILTER (WHERE x.option_name = 'autovacuum_vacuum_scale_factor') AS scale,
            max(x.option_value::float8)
                FILTER (WHERE x.option_name = 'autovacuum_vacuum_insert_threshold') AS ins_base,
            max(x.option_value::float8)
                FILTER (WHERE x.option_name = 'autovacuum_vacuum_insert_scale_factor') AS ins_scale,
            max(x.option_value::float8)
                FILTER (WHERE x.option_name = 'autovacuum_vacuum_max_threshold') AS max_threshold
        FROM pg_options_to_table(coalesce(m.reloptions, t.reloptions)) AS x
    ) AS o
),
judged AS (
    SELECT t.*, t.dead > t.threshold AND t.dead > @autovacuum_lag.warning@
            AND (t.dead >= 0.2 * (t.live + t.dead) OR t.dead >= 10 * t.threshold) AS is_dead,
        p.pid AS vacuumed_by,
        CASE WHEN t.dead > @autovacuum_lag.critical@ AND t.dead > t.threshold
            AND t.dead >= 0.4 * (t.live + t.dead) AND p.pid IS NULL THEN 'CRITICAL'
            ELSE 'WARNING'
        END AS status
    FROM tables AS t
    LEFT JOIN pg_stat_get_progress_info('VACUUM') AS p ON p.relid = t.oid
        AND p.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    WHERE (t.dead > t.threshold AND t.dead > @autovacuum_lag.warning@
        AND (t.dead >= 0.2 * (t.live + t.dead) OR t.dead >= 10 * t.threshold))
        OR (t.inserted > @autovacuum_lag.inserted@ AND t.inserted > 10 * t.ins_threshold)
),
oldest AS MATERIALIZED (
    SELECT h.*, count(*) OVER () AS total, statement_timestamp() - h.held_since AS held
    FROM holders AS h
    WHERE NOT h.only_catalogs AND coalesce(h.database = current_database(), true)
    ORDER BY h.age DESC, h.held_since
    LIMIT 1
),
ranked AS (
    SELECT j.*, o.kind || ' ' || o.name AS holder, o.evidence AS holder_evidence,
        o.total AS holders, o.held_since, o.next_command AS holder_command,
        o.cure AS holder_cure,
        row_number() OVER (ORDER BY j.status, j.is_dead DESC, j.dead DESC, j.inserted DESC) AS rank,
        count(*) OVER () AS total
    FROM judged AS j
    LEFT JOIN oldest AS o ON j.is_dead AND CASE
        WHEN o.held_since IS NULL THEN o.age >= 1000 AND (2::bigint * o.age >= j.frozen_age
            OR j.last_vacuum > statement_timestamp() - interval '10 minutes')
        WHEN o.held < interval '3 s' THEN false
        WHEN j.last_vacuum IS NULL THEN 2::bigint * o.age >= j.frozen_age
        ELSE 2 * o.held >= statement_timestamp() - j.last_vacuum
    END
)
SELECT
    r.status, 'table ' || r.oid::regclass AS object,
    CASE WHEN r.is_dead
        THEN format('%s dead rows (%s %%)', r.dead, round(100.0 * r.dead / (r.live + r.dead)))
        ELSE format('%s rows inserted since vacuum', r.inserted)
    END AS current_value,
    CASE WHEN r.is_dead THEN format('<= %s', round(r.threshold))
        ELSE format('<= %s', round(r.ins_threshold)) END AS threshold,
    concat_ws(', ',
        CASE WHEN r.holder IS NOT NULL
            THEN concat('held by ', r.holder, ' (', r.holder_evidence, ')',
                ' since ' || r.held_since,
                CASE WHEN r.holders > 1 THEN format(', the oldest of %s holders', r.holders) END)
        END,
        CASE WHEN NOT r.is_on THEN 'autovacuum or track_counts is off' END,
        CASE WHEN NOT r.is_enabled THEN 'autovacuum_enabled = false on this table' END,
        CASE WHEN r.vacuumed_by IS NOT NULL THEN format('pid %s vacuums it now', r.vacuumed_by) END,
        format('last vacuumed: %s',
            coalesce(r.last_vacuum::text, 'unknown')),
        format('%s live rows', r.live),
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more tables', r.total - 5) END)
            AS evidence,
    CASE WHEN r.holder IS NOT NULL
        THEN format('VACUUM frees none of the rows that died since: %s still sees them. %s '
            'Then vacuum.', r.holder, r.holder_cure)
        WHEN r.vacuumed_by IS NOT NULL
        THEN 'A vacuum is running: repeat the check after it ends. If the count stays, see the '
            'check Xmin Horizon.'
        WHEN NOT r.is_enabled OR NOT r.is_on
            THEN 'Autovacuum does not clean the table: it grows and queries slow down. Vacuum it '
                'and turn autovacuum on.'
        ELSE 'Autovacuum does not keep up: the table grows and queries slow down. Vacuum it; if '
            'that frees nothing, see the check Xmin Horizon.'
    END AS recommendation,
    coalesce(r.holder_command, format('VACUUM (ANALYZE, VERBOSE) %s;', r.vacuum_target::regclass))
        AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, 'no table', '@autovacuum_lag.warning@ dead rows and 20 %', NULL,
    'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
