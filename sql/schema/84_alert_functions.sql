COMMENT ON FUNCTION crewsnow_ops.tick() IS
    'Evaluates the alert rules that are due, and writes states, history and notices in this '
    'transaction. Call it each minute, from pg_cron or cron. verdict: DONE; LATE if rules wait for '
    'the next tick, because crewsnow_ops.tick_budget was used up; BUSY while another session does '
    'it; STANDBY. active counts the alerts that fire or recover, took_ms is in milliseconds. '
    'Notices go to listeners of crewsnow_ops_alerts. Errors: 25001 in a REPEATABLE READ or '
    'SERIALIZABLE transaction, 25006 in a read-only transaction.';
COMMENT ON FUNCTION crewsnow_ops.silence(text, text, timestamptz) IS
    'Silences alerts until p_ends_at, at most 30 days, and returns the number of the silence. '
    'p_matcher is a rule, a group or rule/subject; * stands for any characters. Silenced alerts '
    'are evaluated and recorded; they send no notice. Errors: 22004, 22023 for an end in the past '
    'or too far away, 25006, 42704 for a matcher that fits no rule and no group.';
COMMENT ON FUNCTION crewsnow_ops.end_silence(bigint) IS
    'Ends a silence now. Alerts that still fire send their notice at the next tick. Errors: 22004, '
    '25006, 42704 for an unknown silence, 55000 for one that has ended.';
COMMENT ON FUNCTION crewsnow_ops.acknowledge_alert(text, text, text, timestamptz) IS
    'Records that the caller works on an alert that fires, or on all alerts of the rule if '
    'p_subject is NULL. No reminder is sent until p_ends_at: by default 1 hour for a critical '
    'alert and 4 hours for a warning, at most 24 hours. Returns the number of alerts. Errors: '
    '22004, 22023 for an end in the past or too far away, 25006, 42704 if no such alert fires.';
COMMENT ON FUNCTION crewsnow_ops.simulate_alert(text, text, double precision, interval) IS
    'Adds a subject with a value to the result of a rule for a time, at most 1 hour, so that its '
    'alert goes the whole way: state, history, notice. Without p_value the value fires the highest '
    'severity. The events of the alert carry is_simulated. Returns a text. Errors: 22004, 22023, '
    '25006, 42704 for an unknown rule, 55000 for a rule that is disabled.';
COMMENT ON FUNCTION crewsnow_ops.adopt_alerts() IS
    'Lets the alerts of a restored or copied database send notices. Until then they are evaluated '
    'and recorded only. Returns a text. Errors: 25006.';

COMMENT ON FUNCTION crewsnow_ops.silence_matches(text, text, text, text) IS
    'Whether the matcher of a silence fits a rule, its group and a subject. NULL for NULL.';

CREATE FUNCTION crewsnow_ops.alerts_now()
    RETURNS TABLE (status text, severity text, rule text, subject text, value double precision,
        threshold text, since timestamptz, level integer, muted_by text, data_state text,
        alert_id bigint, message text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
WITH
clock AS (
    SELECT c.ticked_at, c.is_muted, now() - c.ticked_at AS age FROM crewsnow_ops.alert_clock AS c
),
-- A dead alerting system must not look like one without alerts.
dead AS (
    SELECT 'NO TICK' AS status, 'critical' AS severity, '' AS rule, '' AS subject,
        NULL::double precision AS value, '5 min' AS threshold, c.ticked_at AS since,
        1 AS level, NULL AS muted_by, 'no_data' AS data_state, NULL::bigint AS alert_id,
        coalesce('no rule was evaluated since then: SELECT * FROM crewsnow_ops.tick();',
            'no rule has been evaluated yet: SELECT * FROM crewsnow_ops.tick();') AS message,
        0 AS place
    FROM (VALUES (true)) AS one (row)
    LEFT JOIN clock AS c ON true
    WHERE c.age IS NULL OR c.age > interval '5 minutes'
),
broken AS (
    SELECT 'ERROR', 'warning', e.rule, '', NULL::double precision,
        e.failures_in_a_row || ' failed', e.failed_since, 1, NULL, e.data_state, NULL::bigint,
        e.last_error, 2
    FROM crewsnow_ops.alert_evaluations AS e
    JOIN crewsnow_ops.alert_rules AS r ON r.name = e.rule AND r.is_enabled
    WHERE e.data_state = 'error'
),
active AS (
    SELECT upper(s.state), s.severity, s.rule, s.subject,
        round(s.value::numeric, 2)::double precision,
        CASE r.fires_when WHEN 'above' THEN '> ' ELSE '< ' END
            || CASE s.severity WHEN 'critical' THEN r.critical ELSE r.warning END,
        s.since,
        CASE WHEN s.fired_at IS NULL THEN r.level_floor
            -- Until the next tick, fired_at may be later than a clock that stepped back.
            WHEN greatest(now(), t.ticked_at) - s.fired_at >= interval '30 minutes' THEN 3
            WHEN greatest(now(), t.ticked_at) - s.fired_at >= interval '15 minutes'
                THEN greatest(r.level_floor, 2)
            ELSE r.level_floor END,
        concat_ws(', ',
            CASE WHEN (SELECT c.is_muted FROM clock AS c) THEN 'restored copy' END,
            (SELECT 'acknowledged by ' || a.acknowledged_by
                FROM crewsnow_ops.alert_acknowledgements AS a
                WHERE a.alert_id = s.alert_id AND a.ends_at > now()
                ORDER BY a.acknowledgement_id DESC LIMIT 1),
            (SELECT 'silence ' || min(i.silence_id)
                FROM crewsnow_ops.silences AS i
                WHERE i.starts_at <= now() AND i.ends_at > now()
                    AND crewsnow_ops.silence_matches(i.matcher, s.rule,
                        coalesce(r.alert_group, r.name), s.subject)),
            -- As in the notices: one that fires on is no noise.
            CASE WHEN s.is_flapping AND now() - s.fired_at < interval '15 minutes'
                THEN 'flapping' END,
            CASE WHEN s.is_simulated THEN 'simulated' END),
        s.data_state, s.alert_id, s.message,
        CASE WHEN s.state = 'pending' THEN 3 WHEN s.severity = 'critical' THEN 1 ELSE 2 END
    FROM crewsnow_ops.alert_states AS s
    JOIN crewsnow_ops.alert_rules AS r ON r.name = s.rule
    LEFT JOIN clock AS t ON true
    WHERE s.state <> 'ok'
)
SELECT a.status, a.severity, a.rule, a.subject, a.value, a.threshold, a.since, a.level,
    nullif(a.muted_by, ''), a.data_state, a.alert_id, a.message
FROM (TABLE dead UNION ALL TABLE broken UNION ALL TABLE active) AS a
ORDER BY a.place, a.since, a.rule, a.subject
$$;
COMMENT ON FUNCTION crewsnow_ops.alerts_now() IS 'The rows of the view crewsnow_ops.alerts.';
CREATE VIEW crewsnow_ops.alerts AS
SELECT a.status, a.severity, a.rule, a.subject, a.value, a.threshold, a.since, a.level,
    a.muted_by, a.data_state, a.alert_id, a.message
FROM crewsnow_ops.alerts_now() AS a;
COMMENT ON VIEW crewsnow_ops.alerts IS
    'The alerts that are not ok now, worst first. Rules whose query fails have a row, too, and so '
    'has an alerting system that no longer ticks.';
COMMENT ON COLUMN crewsnow_ops.alerts.status IS
    'NO TICK: no tick for 5 minutes; FIRING; RECOVERING: clear, but not for clears_after yet; '
    'PENDING: over the threshold, but not for fires_after yet; ERROR: the query of the rule fails.';
COMMENT ON COLUMN crewsnow_ops.alerts.severity IS 'critical or warning.';
COMMENT ON COLUMN crewsnow_ops.alerts.rule IS 'The rule.';
COMMENT ON COLUMN crewsnow_ops.alerts.subject IS 'The subject; empty for the rule itself.';
COMMENT ON COLUMN crewsnow_ops.alerts.value IS 'The latest value.';
COMMENT ON COLUMN crewsnow_ops.alerts.threshold IS 'The threshold of its severity.';
COMMENT ON COLUMN crewsnow_ops.alerts.since IS
    'Time of the latest change of state; of NO TICK the latest tick, of ERROR the first failure.';
COMMENT ON COLUMN crewsnow_ops.alerts.level IS
    'Escalation level: 1, from 15 minutes after it fired 2, from 30 minutes 3; at least the floor '
    'of the rule.';
COMMENT ON COLUMN crewsnow_ops.alerts.muted_by IS
    'The reasons why it sends no notice now; NULL if it does.';
COMMENT ON COLUMN crewsnow_ops.alerts.data_state IS
    'ok, no_data if the latest evaluation had no value, error if it failed.';
COMMENT ON COLUMN crewsnow_ops.alerts.alert_id IS 'Number of the alert in alert_events.';
COMMENT ON COLUMN crewsnow_ops.alerts.message IS 'Message of the query.';

CREATE FUNCTION crewsnow_ops.alert_quality_now()
    RETURNS TABLE (rule text, pages_a_week numeric, notices bigint, alerts bigint,
        acknowledged bigint, healed_within_5_min bigint, never_acted_upon bigint,
        median_minutes numeric, advice text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
WITH
period AS (
    SELECT now() - interval '28 days' AS start,
        greatest(least(now() - (SELECT min(e.at) FROM crewsnow_ops.alert_events AS e),
            interval '28 days'), interval '1 day') AS length
),
fired AS (
    SELECT e.rule, e.alert_id, min(e.at) AS fired_at
    FROM crewsnow_ops.alert_events AS e
    CROSS JOIN period AS p
    WHERE e.event = 'firing' AND e.at >= p.start AND e.alert_id IS NOT NULL
        AND e.details ->> 'is_simulated' IS DISTINCT FROM 'true'
    GROUP BY e.rule, e.alert_id
),
ended AS (
    SELECT f.rule, f.alert_id, f.fired_at,
        (SELECT min(e.at) FROM crewsnow_ops.alert_events AS e
            WHERE e.alert_id = f.alert_id AND e.event IN ('resolved', 'expired')) AS resolved_at,
        EXISTS (SELECT FROM crewsnow_ops.alert_acknowledgements AS a
            WHERE a.alert_id = f.alert_id) AS is_acknowledged
    FROM fired AS f
),
sent AS (
    SELECT w ->> 'rule' AS rule, count(DISTINCT e.event_id) AS notices
    FROM crewsnow_ops.alert_events AS e
    CROSS JOIN period AS p
    CROSS JOIN LATERAL jsonb_path_query(e.details, '$.worst[*]') AS w
    WHERE e.event = 'notice' AND e.suppressed_by IS NULL AND e.at >= p.start
    GROUP BY w ->> 'rule'
),
by_rule AS (
    SELECT e.rule, count(*) AS alerts, count(*) FILTER (WHERE e.is_acknowledged) AS acknowledged,
        count(*) FILTER (WHERE e.resolved_at - e.fired_at <= interval '5 minutes'
            AND NOT e.is_acknowledged) AS healed,
        count(*) FILTER (WHERE e.resolved_at IS NOT NULL AND NOT e.is_acknowledged) AS ignored,
        percentile_cont(0.5) WITHIN GROUP (
            ORDER BY extract(epoch FROM e.resolved_at - e.fired_at) / 60) AS minutes
    FROM ended AS e
    GROUP BY e.rule
)
SELECT r.name, round(coalesce(s.notices, 0) / (extract(epoch FROM p.length) / 604800), 1),
    coalesce(s.notices, 0), coalesce(b.alerts, 0), coalesce(b.acknowledged, 0),
    coalesce(b.healed, 0), coalesce(b.ignored, 0), round(b.minutes::numeric, 1),
    CASE
        WHEN b.alerts >= 3 AND b.healed * 2 > b.alerts
            THEN 'raise fires_after: most alerts heal by themselves within 5 min'
        WHEN b.alerts >= 3 AND b.ignored = b.alerts
            THEN 'no alert was acknowledged: raise the threshold, or disable the rule'
    END
FROM crewsnow_ops.alert_rules AS r
CROSS JOIN period AS p
LEFT JOIN by_rule AS b ON b.rule = r.name
LEFT JOIN sent AS s ON s.rule = r.name
WHERE r.is_enabled
ORDER BY coalesce(s.notices, 0) DESC, coalesce(b.alerts, 0) DESC, r.name
$$;
COMMENT ON FUNCTION crewsnow_ops.alert_quality_now() IS
    'The rows of the view crewsnow_ops.alert_quality.';
CREATE VIEW crewsnow_ops.alert_quality AS
SELECT q.rule, q.pages_a_week, q.notices, q.alerts, q.acknowledged, q.healed_within_5_min,
    q.never_acted_upon, q.median_minutes, q.advice
FROM crewsnow_ops.alert_quality_now() AS q;
COMMENT ON VIEW crewsnow_ops.alert_quality IS
    'How useful each rule was in the last 28 days, the noisiest first. Simulations do not count.';
COMMENT ON COLUMN crewsnow_ops.alert_quality.rule IS 'The rule.';
COMMENT ON COLUMN crewsnow_ops.alert_quality.pages_a_week IS
    'Notices a week that named the rule among their worst alerts.';
COMMENT ON COLUMN crewsnow_ops.alert_quality.notices IS 'The number of these notices.';
COMMENT ON COLUMN crewsnow_ops.alert_quality.alerts IS 'Alerts that fired.';
COMMENT ON COLUMN crewsnow_ops.alert_quality.acknowledged IS
    'Those that an operator acknowledged.';
COMMENT ON COLUMN crewsnow_ops.alert_quality.healed_within_5_min IS
    'Those that were resolved within 5 minutes without an acknowledgement.';
COMMENT ON COLUMN crewsnow_ops.alert_quality.never_acted_upon IS
    'Those that were resolved without an acknowledgement.';
COMMENT ON COLUMN crewsnow_ops.alert_quality.median_minutes IS
    'Median time from firing to resolved, in minutes; NULL without one.';
COMMENT ON COLUMN crewsnow_ops.alert_quality.advice IS 'A change to consider; NULL for none.';

COMMENT ON FUNCTION crewsnow_ops.replay_events(text, timestamptz, timestamptz) IS
    'The events that a rule would have had from p_from to p_to, as in alert_events: the rule is '
    'evaluated at p_from and then in its own interval, at most 50000 times. alert numbers the '
    'alerts. Nothing is written. webhook-failures has the present outcomes of webhooks in a '
    'replay: earlier ones are not stored. Only rules whose query reads '
    'crewsnow_ops.rule_time() can be replayed. Errors: 0A000 for a rule that reads the present, '
    '22004, 22023 for another period, 38000 if the query fails, 42704.';
CREATE FUNCTION crewsnow_ops.replay_rule(p_rule text, p_from timestamptz, p_to timestamptz)
    RETURNS TABLE (outcome text, severity text, subject text, fired_at timestamptz,
        resolved_at timestamptz, lasted interval, live_fired_at timestamptz,
        live_resolved_at timestamptz, live_group_id bigint)
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
WITH
replayed AS (
    SELECT e.alert, e.subject, max(e.severity) FILTER (WHERE e.severity = 'critical') AS critical,
        min(e.at) FILTER (WHERE e.event = 'firing') AS fired_at,
        max(e.at) FILTER (WHERE e.event IN ('resolved', 'expired')) AS resolved_at
    FROM crewsnow_ops.replay_events(p_rule, p_from, p_to) AS e
    GROUP BY e.alert, e.subject
),
live AS (
    SELECT e.alert_id, e.subject, max(e.group_id) AS group_id,
        max(e.severity) FILTER (WHERE e.severity = 'critical') AS critical,
        min(e.at) FILTER (WHERE e.event = 'firing') AS fired_at,
        max(e.at) FILTER (WHERE e.event IN ('resolved', 'expired')) AS resolved_at
    FROM crewsnow_ops.alert_events AS e
    WHERE e.rule = p_rule AND e.at >= p_from AND e.at < p_to
        AND e.details ->> 'is_simulated' IS DISTINCT FROM 'true'
    GROUP BY e.alert_id, e.subject
)
SELECT CASE WHEN l.alert_id IS NULL THEN 'replay only' WHEN r.alert IS NULL THEN 'live only'
        ELSE 'both' END,
    coalesce(r.critical, l.critical, 'warning'), coalesce(r.subject, l.subject),
    r.fired_at, r.resolved_at, coalesce(r.resolved_at, p_to) - r.fired_at,
    l.fired_at, l.resolved_at, l.group_id
FROM (SELECT * FROM replayed AS x WHERE x.fired_at IS NOT NULL) AS r
FULL JOIN (SELECT * FROM live AS x WHERE x.fired_at IS NOT NULL) AS l
    ON l.subject = r.subject
    AND tstzrange(l.fired_at, l.resolved_at, '[]') && tstzrange(r.fired_at, r.resolved_at, '[]')
ORDER BY coalesce(r.fired_at, l.fired_at), 3
$$;
COMMENT ON FUNCTION crewsnow_ops.replay_rule(text, timestamptz, timestamptz) IS
    'The alerts that a rule, as it is now, would have fired from p_from to p_to, beside those that '
    'did fire. outcome: both, replay only, live only. lasted counts to p_to while it still fires. '
    'live_group_id is the number of the group in alert_events. Nothing is written. Errors: as '
    'replay_events.';

-- The measure alert-rules of decisions reads it: readiness does not know the tables of alerts.
CREATE FUNCTION crewsnow_ops.alert_objection()
    RETURNS TABLE (rules bigint, outcome text, detail text, command text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
SELECT r.enabled, o.outcome, o.detail, o.command
FROM (
    SELECT count(*) AS enabled,
        count(*) FILTER (WHERE e.data_state = 'error') AS broken,
        count(*) FILTER (WHERE e.evaluated_at IS NULL
            OR now() - e.evaluated_at > 3 * r.every + interval '5 minutes') AS late
    FROM crewsnow_ops.alert_rules AS r
    LEFT JOIN crewsnow_ops.alert_evaluations AS e ON e.rule = r.name
    WHERE r.is_enabled
) AS r
CROSS JOIN (
    SELECT count(*) AS firing, min(s.rule || coalesce('/' || nullif(s.subject, ''), '')) AS first
    FROM crewsnow_ops.alert_states AS s
    WHERE s.severity = 'critical' AND s.state IN ('firing', 'recovering') AND NOT s.is_simulated
) AS f
LEFT JOIN crewsnow_ops.alert_clock AS c ON true
CROSS JOIN LATERAL (
    SELECT v.outcome, v.detail, v.command
    FROM (VALUES
        (1, c.ticked_at IS NULL, 'no data', 'no alert rule has been evaluated yet',
            'SELECT * FROM crewsnow_ops.tick();'),
        (2, now() - c.ticked_at > interval '5 minutes', 'failed',
            format('no tick for %s min',
                floor(extract(epoch FROM now() - c.ticked_at) / 60)::bigint),
            'SELECT * FROM crewsnow_ops.tick();'),
        (3, c.is_muted, 'failed', 'this database is a copy whose alerts send no notices',
            'SELECT crewsnow_ops.adopt_alerts();'),
        (4, r.enabled = 0, 'failed', 'no alert rule is enabled',
            'SELECT name, is_enabled FROM crewsnow_ops.alert_rules;'),
        (5, f.firing > 0, 'failed', format('%s critical alerts fire: %s', f.firing, f.first),
            'SELECT * FROM crewsnow_ops.alerts;'),
        (6, r.broken > 0, 'failed', format('the queries of %s rules fail', r.broken),
            'SELECT rule, last_error FROM crewsnow_ops.alert_evaluations '
                'WHERE data_state = ''error'';'),
        (7, r.late > 0, 'failed', format('%s rules were not evaluated lately', r.late),
            'SELECT * FROM crewsnow_ops.tick();'),
        (8, true, 'met', format('%s rules are evaluated, and no critical alert fires', r.enabled),
            NULL)
    ) AS v (place, holds, outcome, detail, command)
    WHERE v.holds
    ORDER BY v.place
    LIMIT 1
) AS o
$$;
COMMENT ON FUNCTION crewsnow_ops.alert_objection() IS
    'Whether the alert rules are evaluated and quiet: outcome is met, failed or no data, detail '
    'the reason, command a statement that helps. The measure alert-rules of decisions reads it.';

CREATE FUNCTION crewsnow_ops.alert_event_is_append_only() RETURNS trigger LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'alert_event_is_append_only_wrapper';
COMMENT ON FUNCTION crewsnow_ops.alert_event_is_append_only() IS
    'Trigger: refuses changes of the history, but for the erasure of a person. Error: 42501.';
CREATE TRIGGER alert_events_are_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON crewsnow_ops.alert_events
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.alert_event_is_append_only();
COMMENT ON TRIGGER alert_events_are_append_only ON crewsnow_ops.alert_events IS
    'Keeps the history append-only, for the owner too.';
ALTER TABLE crewsnow_ops.alert_events ENABLE ALWAYS TRIGGER alert_events_are_append_only;

REVOKE ALL ON FUNCTION crewsnow_ops.tick(), crewsnow_ops.silence(text, text, timestamptz),
    crewsnow_ops.end_silence(bigint), crewsnow_ops.adopt_alerts(),
    crewsnow_ops.acknowledge_alert(text, text, text, timestamptz),
    crewsnow_ops.simulate_alert(text, text, double precision, interval),
    crewsnow_ops.silence_matches(text, text, text, text), crewsnow_ops.alerts_now(),
    crewsnow_ops.replay_events(text, timestamptz, timestamptz),
    crewsnow_ops.replay_rule(text, timestamptz, timestamptz),
    crewsnow_ops.alert_quality_now(), crewsnow_ops.alert_objection(),
    crewsnow_ops.alert_event_is_append_only() FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.alerts'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.alert_quality'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.alert_acknowledgements'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.alert_objection()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.alerts_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.alert_quality_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.silence_matches(text, text, text, text)'),
    ('operator', 'SELECT', 'TABLE', 'crewsnow_ops.alert_simulations'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.tick()'),
    ('operator', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.replay_events(text, timestamptz, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.replay_rule(text, timestamptz, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.silence(text, text, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.end_silence(bigint)'),
    ('operator', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.acknowledge_alert(text, text, text, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.simulate_alert(text, text, double precision, interval)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.adopt_alerts()');
