-- The built-in rules. The thresholds of traffic and payments are the runbook's, those of burn rates
-- the Site Reliability Workbook's, those of the database the health checks'. All others are ours.
INSERT INTO crewsnow_ops.alert_rules
    (name, alert_group, description, query, fires_when, warning, critical, warning_clears,
        critical_clears, fires_after, clears_after, min_samples, no_data, every, is_built_in)
SELECT r.name, r.alert_group, r.description, r.query, r.fires_when, r.warning, r.critical,
    r.warning_clears, r.critical_clears, r.fires_after, r.clears_after, r.min_samples, r.no_data,
    r.every, true
FROM (VALUES
    ('p95-latency', 'traffic', '95th percentile of the execution time of a function, in ms.',
        'SELECT c.function_name, c.p95_ms, '
        'format(''p95 of %s calls in 5 min: %s ms'', c.calls, round(c.p95_ms::numeric)), c.calls '
        'FROM crewsnow_ops.calls_in(''5 minutes'') AS c',
        'above', 2000, 5000, 1600, 4000, interval '1 minute', interval '3 minutes', 20, 'keep',
        interval '1 minute'),
    ('error-rate', 'traffic', 'Share of calls of a function with a 5xx status, in percent.',
        'SELECT c.function_name, '
        'CASE WHEN c.without_status < c.calls THEN 100.0 * c.errors / c.calls END, '
        'format(''%s of %s calls failed in 5 min'', c.errors, c.calls), c.calls '
        'FROM crewsnow_ops.calls_in(''5 minutes'') AS c',
        'above', NULL, 5, NULL, 4, interval '1 minute', interval '3 minutes', 20, 'keep',
        interval '1 minute'),
    ('burn-rate-fast', 'traffic',
        'Errors use up the budget of 99.9 % 14.4 times too fast: 2 % of a month in an hour.',
        'SELECT ''all functions'', b.burn_rate, b.message, b.calls '
        'FROM crewsnow_ops.burn_rate(0.999, ''1 hour'', ''5 minutes'') AS b',
        'above', NULL, 14.4, NULL, NULL, interval '0', interval '5 minutes', 100, 'keep',
        interval '1 minute'),
    ('burn-rate-slow', 'traffic',
        'Errors use up the budget of 99.9 % 6 times too fast: 5 % of a month in 6 hours.',
        'SELECT ''all functions'', b.burn_rate, b.message, b.calls '
        'FROM crewsnow_ops.burn_rate(0.999, ''6 hours'', ''30 minutes'') AS b',
        'above', 6, NULL, NULL, NULL, interval '0', interval '15 minutes', 100, 'keep',
        interval '5 minutes'),
    ('webhook-failures', 'payments',
        'Share of webhooks that failed in 10 min, in percent. A replay has the present outcomes.',
        'SELECT ''webhooks'', 100.0 * w.failed / nullif(w.total, 0), '
        'format(''%s of %s webhooks failed in 10 min'', w.failed, w.total), w.total '
        'FROM crewsnow_ops.webhooks_in(''10 minutes'') AS w',
        'above', NULL, 5, NULL, 4, interval '0', interval '5 minutes', 10, 'keep',
        interval '1 minute'),
    ('webhook-backlog', 'payments', 'Webhooks that wait for more than 5 min.',
        -- Past backlogs are not recorded: the rule reads the present.
        'SELECT ''webhooks'', count(*), format(''%s webhooks wait for more than 5 min'', count(*)) '
        'FROM (SELECT FROM @extschema@.processed_events AS e WHERE e.status = ''received'' '
        'AND coalesce(e.received_at, e.processed_at) < now() - interval ''5 minutes'' '
        'LIMIT 10000) AS w',
        'above', 4, 99, 0, 49, interval '1 minute', interval '2 minutes', 0, 'keep',
        interval '1 minute'),
    ('webhook-stuck', 'payments', 'Minutes for which the oldest webhook waits.',
        'SELECT ''webhooks'', coalesce(extract(epoch FROM now() - w.since) / 60, 0), '
        'coalesce(format(''webhook %s waits since %s'', w.event_id, w.since), '
        '''no webhook waits'') FROM (VALUES (true)) AS one (row) LEFT JOIN ('
        'SELECT e.event_id, coalesce(e.received_at, e.processed_at) AS since '
        'FROM @extschema@.processed_events AS e WHERE e.status = ''received'' '
        'ORDER BY 2 LIMIT 1) AS w ON true',
        'above', 60, NULL, NULL, NULL, interval '0', interval '0', 0, 'keep',
        interval '1 minute'),
    ('webhook-silence', 'payments', 'No webhook arrives for much longer than usual.',
        'SELECT ''webhooks'', CASE WHEN w.silence IS NULL THEN 0 ELSE 1 END, '
        'coalesce(w.silence, ''webhooks arrive as usual'') '
        'FROM crewsnow_ops.webhooks_in(''10 minutes'') AS w',
        'above', 0.5, NULL, NULL, NULL, interval '0', interval '0', 0, 'keep',
        interval '1 minute'),
    ('slot-disk-full', 'replication',
        'Hours until the WAL that a replication slot retains fills the disk.',
        'SELECT f.slot_name, f.hours_left, f.message FROM crewsnow_ops.slot_forecast() AS f',
        'below', 24, 4, 30, 6, interval '5 minutes', interval '5 minutes', 0, 'ok',
        interval '1 minute'),
    ('http-not-landed', 'jobs', 'Calls of pg_net in the last hour without a good answer.',
        'SELECT ''pg_net'', h.failed, h.message FROM crewsnow_ops.http_not_landed() AS h',
        'above', 0, NULL, NULL, NULL, interval '0', interval '5 minutes', 0, 'ok',
        interval '1 minute'),
    ('rls-drift', 'security',
        'Findings and leaks of the latest stored audit that an earlier one had not.',
        'SELECT ''row-level security'', d.opened, d.message '
        'FROM crewsnow_ops.rls_drift_stored() AS d',
        'above', NULL, 0, NULL, NULL, interval '0', interval '0', 0, 'keep',
        interval '5 minutes'),
    ('maintenance-overdue', 'maintenance', 'Days since the last complete run of maintenance.',
        'SELECT ''run_performance_maintenance'', '
        'extract(epoch FROM t.at - max(m.ended_at)) / 86400, '
        'format(''the last complete run ended at %s'', max(m.ended_at)) '
        'FROM (SELECT crewsnow_ops.rule_time()) AS t (at) '
        'JOIN crewsnow_ops.maintenance_runs AS m ON m.ended_at <= t.at '
        'WHERE m.step = 0 AND m.verdict IN (''DONE'', ''SKIPPED'') GROUP BY t.at',
        'above', 8, 30, NULL, NULL, interval '0', interval '0', 0, 'ok', interval '5 minutes'),
    ('retention-failing', 'maintenance', 'The latest run of retention failed in part.',
        'SELECT ''run_gdpr_maintenance'', CASE WHEN r.verdict = ''FAILED'' THEN 1 ELSE 0 END, '
        'format(''the run of %s: %s'', r.started_at, r.verdict) '
        'FROM (SELECT crewsnow_ops.rule_time()) AS t (at) '
        'JOIN crewsnow_ops.retention_runs AS r ON coalesce(r.ended_at, r.started_at) <= t.at '
        'WHERE r.step = 0 AND r.verdict <> ''STARTED'' ORDER BY r.started_at DESC LIMIT 1',
        'above', 0.5, NULL, NULL, NULL, interval '0', interval '0', 0, 'ok',
        interval '5 minutes'),
    ('backup-overdue', 'backups', 'Hours since the last backup in backup_log that completed.',
        'SELECT ''backup_log'', extract(epoch FROM b.at - coalesce(b.ended, b.first)) / 3600, '
        'coalesce(''the last complete backup ended at '' || b.ended, ''no backup completed yet'') '
        'FROM (SELECT t.at, min(l.created_at) AS first, max(l.completed_at) FILTER '
        '(WHERE l.backup_status = ''completed'' AND l.completed_at <= t.at) AS ended '
        'FROM (SELECT crewsnow_ops.rule_time()) AS t (at) '
        'JOIN @extschema@.backup_log AS l ON l.created_at <= t.at GROUP BY t.at) AS b',
        'above', 26, 50, NULL, NULL, interval '0', interval '0', 0, 'ok', interval '5 minutes'),
    ('restore-test-overdue', 'backups', 'Days since the last restore test that passed.',
        'SELECT ''restore-test'', extract(epoch FROM x.at - coalesce(x.passed, x.first)) / 86400, '
        'coalesce(''the last restore test passed at '' || x.passed, ''no restore test passed'') '
        'FROM (SELECT t.at, min(e.recorded_at) AS first, '
        'max(e.recorded_at) FILTER (WHERE e.passed) AS passed '
        'FROM (SELECT crewsnow_ops.rule_time()) AS t (at) '
        'JOIN crewsnow_ops.evidence AS e ON e.recorded_at <= t.at '
        'WHERE e.criterion = ''restore-test'' GROUP BY t.at) AS x',
        'above', 8, 30, NULL, NULL, interval '0', interval '0', 0, 'ok', interval '5 minutes'),
    ('failover', 'replication', 'This server became the primary within the last hour.',
        'SELECT ''timeline '' || c.timeline, '
        'CASE WHEN now() - c.timeline_since < interval ''1 hour'' THEN 1 ELSE 0 END, '
        'format(''the server is the primary since %s, on timeline %s'', c.timeline_since, '
        'c.timeline) FROM crewsnow_ops.alert_clock AS c WHERE c.timeline_since IS NOT NULL',
        'above', 0.5, NULL, NULL, NULL, interval '0', interval '0', 0, 'ok',
        interval '1 minute'),
    ('ticks-missed', 'alerting', 'No alert rule was evaluated for some time in the last hour.',
        'SELECT ''tick'', count(*), format(''ticks were missed %s times in an hour: %s'', '
        'count(*), max(e.message)) FROM crewsnow_ops.alert_events AS e '
        'WHERE e.event = ''ticks_missed'' AND e.at > now() - interval ''1 hour''',
        'above', 0, NULL, NULL, NULL, interval '0', interval '0', 0, 'ok', interval '1 minute'),
    ('rules-broken', 'alerting', 'The query of an alert rule fails again and again.',
        'SELECT e.rule, greatest(e.failures_in_a_row, 3 * e.sessions_ended), '
        'format(''%s failures in a row: %s'', e.failures_in_a_row, e.last_error) '
        'FROM crewsnow_ops.alert_evaluations AS e JOIN crewsnow_ops.alert_rules AS r '
        'ON r.name = e.rule AND r.is_enabled WHERE e.rule <> ''rules-broken''',
        'above', 2, NULL, 0, NULL, interval '0', interval '0', 0, 'ok', interval '1 minute')
) AS r (name, alert_group, description, query, fires_when, warning, critical, warning_clears,
    critical_clears, fires_after, clears_after, min_samples, no_data, every);

-- Health checks with their own limits: 1 is WARNING, 2 is CRITICAL.
INSERT INTO crewsnow_ops.alert_rules
    (name, alert_group, description, query, warning, critical, fires_after, clears_after, every,
        is_built_in)
SELECT r.name, r.alert_group,
    pg_catalog.format('Health check %s: 1 WARNING, 2 CRITICAL.', r.metric),
    pg_catalog.format('SELECT %L, c.level, c.message FROM crewsnow_ops.check_level(%L) AS c',
        r.metric, r.metric),
    r.warning, 1.5, r.fires_after, interval '2 minutes', r.every, true
FROM (VALUES
    ('connections', 'database', 'Connections', 0.5, interval '2 minutes', interval '1 minute'),
    ('blocked-sessions', 'database', 'Blocked Sessions', 0.5, interval '2 minutes',
        interval '1 minute'),
    ('idle-in-transaction', 'database', 'Idle in Transaction', NULL, interval '5 minutes',
        interval '1 minute'),
    ('wraparound', 'database', 'Wraparound', 0.5, interval '0', interval '5 minutes'),
    ('wal-archiving', 'backups', 'WAL Archiving', 0.5, interval '5 minutes',
        interval '1 minute'),
    ('replication-slots', 'replication', 'Replication Slots', NULL, interval '5 minutes',
        interval '1 minute'),
    ('replication-lag', 'replication', 'Replication', 0.5, interval '5 minutes',
        interval '1 minute'),
    ('cron-failing', 'jobs', 'Cron Failing', 0.5, interval '0', interval '1 minute'),
    ('cron-overdue', 'jobs', 'Cron Overdue', 0.5, interval '0', interval '1 minute'),
    ('maintenance-failing', 'maintenance', 'Maintenance Failing', 0.5, interval '0',
        interval '5 minutes')
) AS r (name, alert_group, metric, warning, fires_after, every);
