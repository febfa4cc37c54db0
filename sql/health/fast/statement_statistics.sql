-- $1 jsonb: earlier counters or NULL; $2 timestamptz: their time or NULL; $3 jsonb: current
-- counters
-- ("statements" in it: only if pg_stat_statements is readable)
-- Limits: evictions (dealloc) in the window; in a lifetime more than one a day (ours;
-- check_pgactivity: any). pg_stat_statements.max exists only if the server has preloaded the
-- library.
WITH
settings AS MATERIALIZED (
    SELECT s.name, s.setting FROM pg_settings AS s
    WHERE s.name IN ('pg_stat_statements.max', 'shared_preload_libraries')
),
facts AS (
    SELECT
        EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_stat_statements') AS is_created,
        EXISTS (SELECT FROM settings AS s WHERE s.name = 'pg_stat_statements.max') AS is_loaded,
        ($3 -> 'statements' ->> 'dealloc')::numeric AS dealloc,
        ($1 -> 'statements' ->> 'dealloc')::numeric AS earlier_dealloc,
        $1 -> 'statements' -> 'counting_since' = $3 -> 'statements' -> 'counting_since'
            AS is_comparable,
        to_timestamp(($3 -> 'statements' ->> 'counting_since')::float8) AS counting_since,
        $3 -> 'statements' ->> 'entries' AS entries,
        (SELECT s.setting FROM settings AS s WHERE s.name = 'shared_preload_libraries') AS preload
),
measured AS (
    SELECT f.*, f.is_comparable AND f.dealloc >= f.earlier_dealloc AND $2 IS NOT NULL AS is_window,
        f.dealloc
            - CASE WHEN f.is_comparable AND f.dealloc >= f.earlier_dealloc AND $2 IS NOT NULL
                THEN f.earlier_dealloc ELSE 0 END AS evicted
    FROM facts AS f
),
judged AS (
    SELECT m.*,
        CASE WHEN NOT m.is_loaded OR NOT m.is_created THEN 'WARNING'
            WHEN m.dealloc IS NULL THEN 'SKIPPED'
            WHEN m.is_window AND m.evicted > 0 THEN 'WARNING'
            WHEN m.evicted > greatest(extract(epoch FROM statement_timestamp() - m.counting_since)
                / 86400, 1) THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM measured AS m
)
SELECT
    j.status, NULL::text AS object,
    CASE WHEN NOT j.is_loaded THEN 'not loaded'
        WHEN NOT j.is_created THEN 'not created in this database'
        WHEN j.dealloc IS NOT NULL THEN format('%s evictions, %s entries', j.evicted, j.entries) END
            AS current_value,
    'loaded, no evictions' AS threshold,
    CASE WHEN j.status = 'SKIPPED'
        THEN coalesce($3 ->> 'statements_failed', 'this role may not read pg_stat_statements')
        WHEN j.preload IS NOT NULL THEN 'shared_preload_libraries = ' || j.preload END AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        WHEN NOT j.is_loaded
            THEN 'The cost of statements is unknown: preload pg_stat_statements with the next '
                'restart.'
        WHEN NOT j.is_created
            THEN 'pg_stat_statements counts already, but this database cannot read it: create the '
                'extension.'
        WHEN $3 ? 'statements_failed' THEN 'pg_stat_statements failed: the evidence has its error.'
        WHEN j.status = 'SKIPPED' THEN 'Grant pg_read_all_stats to this role.'
        ELSE 'Evictions make totals too small: raise pg_stat_statements.max, and look for '
            'statements that differ at every call.'
    END AS recommendation,
    CASE WHEN j.status = 'OK' THEN NULL
        WHEN NOT j.is_loaded AND j.preload IS NULL THEN 'SHOW shared_preload_libraries;'
        WHEN NOT j.is_loaded THEN 'ALTER SYSTEM SET shared_preload_libraries = '
            || (SELECT string_agg(quote_literal(trim(BOTH ' "' FROM p.name)), ', ')
                FROM unnest(string_to_array(j.preload, ',') || 'pg_stat_statements'::text)
                    AS p (name) WHERE trim(p.name) <> '') || ';'
        WHEN NOT j.is_created THEN 'CREATE EXTENSION pg_stat_statements;'
        WHEN $3 ? 'statements_failed' THEN NULL
        WHEN j.status = 'SKIPPED' THEN format('GRANT pg_read_all_stats TO %I;', current_user)
        ELSE format('ALTER SYSTEM SET pg_stat_statements.max = %s;',
            2 * (SELECT s.setting::bigint FROM settings AS s
                WHERE s.name = 'pg_stat_statements.max'))
    END AS next_command,
    CASE WHEN j.is_window THEN 'since ' || $2
        WHEN j.counting_since IS NOT NULL
            THEN 'lifetime since ' || to_char(j.counting_since, 'YYYY-MM-DD HH24:MI') ELSE 'now'
    END AS since
FROM judged AS j
