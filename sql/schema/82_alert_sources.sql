-- Functions that the built-in alert rules query.
COMMENT ON FUNCTION crewsnow_ops.calls_in(interval) IS
    'The calls of each function in the complete minutes of p_window before '
    'crewsnow_ops.rule_time(): rolled up and not, exactly. p95_ms is in milliseconds. Errors: '
    '22004, 22023 for a window below a minute or above 31 days.';
COMMENT ON FUNCTION crewsnow_ops.errors_in(interval, interval) IS
    'Calls, and those with a 5xx status, of all functions in the complete minutes of p_long and of '
    'p_short before crewsnow_ops.rule_time(), as in calls_in. Errors: as calls_in.';
COMMENT ON FUNCTION crewsnow_ops.webhooks_in(interval) IS
    'Webhooks in the complete minutes of p_window before crewsnow_ops.rule_time(), and a text if '
    'none has arrived for much longer than usual, else NULL. failed has the present outcomes: '
    'earlier ones are not stored. A webhook that failed and was processed later counts in the '
    'minute of the latter only. Errors: as calls_in.';
COMMENT ON FUNCTION crewsnow_ops.check_level(text) IS
    'The worst finding of one check of performance_health_check now: 0 OK, 1 WARNING, 2 CRITICAL, '
    'NULL if the check could not look, with its object, value and evidence. Errors: 22004, 42704.';
COMMENT ON FUNCTION crewsnow_ops.wal_disk_free() IS
    'Free bytes of the disk of pg_wal; NULL if the system does not say.';

CREATE FUNCTION crewsnow_ops.burn_rate(p_objective double precision, p_long interval,
        p_short interval)
    RETURNS TABLE (burn_rate double precision, calls bigint, message text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
SELECT least(e.long_errors::double precision / nullif(e.long_calls, 0),
        coalesce(e.short_errors::double precision / nullif(e.short_calls, 0), 0))
        / (1 - p_objective),
    e.long_calls,
    format('%s of %s calls failed in %s, %s of %s in %s', e.long_errors, e.long_calls, p_long,
        e.short_errors, e.short_calls, p_short)
FROM crewsnow_ops.errors_in(p_long, p_short) AS e
$$;
COMMENT ON FUNCTION crewsnow_ops.burn_rate(double precision, interval, interval) IS
    'How many times faster than allowed the error budget of p_objective (0.999 for 99.9 % of calls '
    'without a 5xx) is used up: the lesser of the rates in both windows, so that it falls soon '
    'after the end of the errors. calls are those of p_long. Source: The Site Reliability '
    'Workbook, chapter 5. Errors: as calls_in.';

CREATE FUNCTION crewsnow_ops.slot_forecast()
    RETURNS TABLE (slot_name text, hours_left double precision, message text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
WITH
sample AS (
    SELECT s.sampled_at, (s.counters #>> '{lsn,position}')::numeric AS position
    FROM crewsnow_ops.health_samples AS s
    WHERE s.sampled_at < now() - interval '5 minutes'
        AND s.counters #>> '{lsn,position}' IS NOT NULL
    ORDER BY s.sampled_at
    LIMIT 1
),
growth AS (
    SELECT greatest(pg_current_wal_insert_lsn() - '0/0'::pg_lsn - s.position, 0)
        / extract(epoch FROM now() - s.sampled_at) * 3600 AS per_hour
    FROM sample AS s
),
slots AS (
    SELECT s.slot_name::text, s.active, s.restart_lsn - '0/0'::pg_lsn AS restart,
        pg_current_wal_insert_lsn() - s.restart_lsn AS retained
    FROM pg_replication_slots AS s
    WHERE s.restart_lsn IS NOT NULL AND coalesce(s.wal_status, '') <> 'lost'
        -- WAL of a slot with a limit is removed before the disk is full.
        AND s.safe_wal_size IS NULL
)
SELECT s.slot_name, (f.free / nullif(g.per_hour, 0))::double precision,
    format('slot %s%s retains %s, WAL grows by %s per hour%s', s.slot_name,
        CASE WHEN s.active THEN '' ELSE ' without a consumer' END,
        pg_size_pretty(s.retained), pg_size_pretty(round(g.per_hour)),
        CASE WHEN f.free / nullif(g.per_hour, 0) < 1000
            THEN format(': disk full in %s h %s min', floor(f.free / g.per_hour),
                floor(f.free / g.per_hour % 1 * 60))
            WHEN f.free / nullif(g.per_hour, 0) >= 1000 THEN ': disk full in more than 1000 h'
            ELSE '' END)
FROM slots AS s
CROSS JOIN sample AS p
CROSS JOIN growth AS g
CROSS JOIN (SELECT crewsnow_ops.wal_disk_free()::numeric) AS f (free)
-- A consumer that is past the position of the sample keeps up: its WAL is recycled.
WHERE NOT s.active OR (s.retained > 1073741824 AND s.restart <= p.position)
$$;
COMMENT ON FUNCTION crewsnow_ops.slot_forecast() IS
    'When the disk of pg_wal is full, for each replication slot without a limit that has no '
    'consumer, or retains more than 1 GB and has not passed the position of the oldest sample of '
    'sample_health: free bytes divided by the growth of WAL since that sample. hours_left is NULL '
    'if WAL does not grow or the free bytes are not known. No rows without a sample of 5 minutes '
    'ago.';

CREATE FUNCTION crewsnow_ops.http_not_landed()
    RETURNS TABLE (failed bigint, answered bigint, message text)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- pg_net is not there on most servers.
    IF to_regclass('net._http_response') IS NULL THEN
        RETURN;
    END IF;
    -- The rule runs as a superuser. A view, or a type of a column, of another role would run that
    -- role's code. The lock keeps the table the same between the check and the query.
    LOCK TABLE net._http_response IN ACCESS SHARE MODE;
    IF NOT EXISTS (SELECT FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
        WHERE c.oid = to_regclass('net._http_response') AND c.relkind = 'r' AND r.rolsuper)
    THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE
        'SELECT count(*) FILTER (WHERE r.bad), count(*),
            format(''%s of %s calls of pg_net failed in an hour; %s'',
                count(*) FILTER (WHERE r.bad), count(*),
                string_agg(DISTINCT r.status, '', '') FILTER (WHERE r.bad))
        FROM (
            SELECT coalesce(h.timed_out, false) OR h.error_msg IS NOT NULL
                    OR coalesce(h.status_code, 0) >= 400 AS bad,
                CASE WHEN h.timed_out THEN ''timed out'' WHEN h.status_code IS NULL
                    THEN ''no answer'' ELSE ''status '' || h.status_code END AS status
            FROM net._http_response AS h
            WHERE h.created > now() - interval ''1 hour''
        ) AS r';
EXCEPTION WHEN undefined_column OR wrong_object_type OR insufficient_privilege THEN
    RETURN QUERY SELECT NULL::bigint, NULL::bigint, 'net._http_response cannot be read'::text;
END
$$;
COMMENT ON FUNCTION crewsnow_ops.http_not_landed() IS
    'HTTP calls of the extension pg_net in the last hour that failed: cron calls such a job '
    'succeeded as soon as the call was sent. No row without a table of pg_net that a superuser '
    'owns.';

CREATE FUNCTION crewsnow_ops.rls_drift_stored()
    RETURNS TABLE (opened bigint, message text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
WITH
instant AS (SELECT crewsnow_ops.rule_time() AS at),
runs AS (
    SELECT r.run, row_number() OVER (ORDER BY r.ran_at DESC) = 1 AS is_latest
    FROM crewsnow_ops.rls_runs AS r
    CROSS JOIN instant AS t
    WHERE r.ran_at <= t.at
),
acceptances AS (
    SELECT DISTINCT ON (a.finding) a.finding, a.severity, a.expires_at > t.at AS is_in_force
    FROM crewsnow_ops.rls_acceptances AS a
    CROSS JOIN instant AS t
    WHERE a.accepted_at <= t.at
    ORDER BY a.finding, a.accepted_at DESC
),
-- As in the report: the acceptance of a table covers findings that its rows are readable.
findings AS (
    SELECT f.finding, f.severity,
        EXISTS (SELECT FROM acceptances AS a
            WHERE a.is_in_force AND a.severity <= f.severity AND (a.finding = f.finding
                OR a.finding LIKE 'table %'
                AND split_part(f.finding, ' ', 1) IN ('public-read', 'read-leak', 'rls-off',
                    'partition-without-rls', 'policy-name-lies')
                AND (f.finding = split_part(f.finding, ' ', 1) || ' ' || a.finding
                    OR right(f.finding, length(a.finding) - 2)
                        = ' on ' || substr(a.finding, 7)))) AS is_accepted
    FROM crewsnow_ops.rls_run_findings AS f
    JOIN runs AS n ON n.run = f.run AND n.is_latest
    WHERE f.severity <= 'HIGH'
),
-- A finding that an earlier audit did not have is new, however many audits have it by now.
opened AS (
    SELECT f.finding
    FROM findings AS f
    WHERE NOT f.is_accepted
        AND EXISTS (SELECT FROM runs AS o
            WHERE NOT o.is_latest AND NOT EXISTS (SELECT FROM crewsnow_ops.rls_run_findings AS p
                WHERE p.run = o.run AND p.finding = f.finding))
),
widened AS (
    SELECT v.relation, v.reach, v.role
    FROM crewsnow_ops.rls_run_verdicts AS v
    JOIN runs AS n ON n.run = v.run AND n.is_latest
    WHERE v.verdict = 'LEAK'
        AND EXISTS (SELECT FROM runs AS o
            JOIN crewsnow_ops.rls_run_verdicts AS p ON p.run = o.run
            WHERE NOT o.is_latest AND p.relation = v.relation AND p.reach = v.reach
                AND p.role = v.role AND p.verdict <> 'LEAK')
        -- The findings of a verdict end with the table. The verdict is accepted with all of them.
        AND NOT coalesce((SELECT bool_and(f.is_accepted) FROM findings AS f
            WHERE right(f.finding, length(v.relation) + 1) = ' ' || v.relation), false)
)
SELECT CASE WHEN EXISTS (SELECT FROM runs AS o WHERE NOT o.is_latest)
        THEN (SELECT count(*) FROM opened) + (SELECT count(*) FROM widened) END,
    format('new since the first stored audit, and still there: %s findings, %s leaks: '
        'SELECT * FROM crewsnow_ops.rls_drift();',
        (SELECT count(*) FROM opened), (SELECT count(*) FROM widened))
$$;
COMMENT ON FUNCTION crewsnow_ops.rls_drift_stored() IS
    'Findings of severity HIGH or CRITICAL and leaks that the latest audit of row-level security '
    'stored before crewsnow_ops.rule_time() has and any earlier stored one had not; NULL before '
    'the second audit. Accepted findings do not count. Only the latest hundred audits are stored. '
    'No audit is made.';

REVOKE ALL ON FUNCTION crewsnow_ops.calls_in(interval), crewsnow_ops.webhooks_in(interval),
    crewsnow_ops.errors_in(interval, interval),
    crewsnow_ops.check_level(text), crewsnow_ops.wal_disk_free(),
    crewsnow_ops.burn_rate(double precision, interval, interval), crewsnow_ops.slot_forecast(),
    crewsnow_ops.http_not_landed(), crewsnow_ops.rls_drift_stored() FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.calls_in(interval)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.errors_in(interval, interval)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.webhooks_in(interval)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.check_level(text)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.wal_disk_free()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.burn_rate(double precision, interval, '
        'interval)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.slot_forecast()'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.http_not_landed()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.rls_drift_stored()');
