COMMENT ON FUNCTION crewsnow_ops.rule_time() IS
    'The instant of the evaluation of an alert rule: the tick''s, or the past instant of a '
    'replay. Elsewhere now(). A query that reads it instead of now() can be replayed.';
COMMENT ON FUNCTION crewsnow_ops.test_rule(text) IS
    'Evaluates a rule once and changes nothing. verdict: ERROR with the reason, CRITICAL, WARNING, '
    'NO DATA, OK; worst first. Timers and silences do not count. The query runs as the rule''s '
    'role. Errors: 22004, 42704.';
COMMENT ON FUNCTION crewsnow_ops.create_alert_rule(text, text, double precision, double precision,
    text, interval, interval, interval, bigint, text, text, text) IS
    'Creates an alert rule as the caller, evaluates it once, and says so in one line. p_query '
    'returns subject, value, message, and samples if p_min_samples is set; see '
    'crewsnow_ops.alert_rules for the columns. Errors: 22004, 23514 for values that the table '
    'refuses, 25006, 42501, 42710 if the name exists, and for the query 42601, 42703, 42804, 42P01 '
    'and others, with line and column of the fault.';
CREATE FUNCTION crewsnow_ops.alert_rule_is_valid() RETURNS trigger LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'alert_rule_is_valid_wrapper';
COMMENT ON FUNCTION crewsnow_ops.alert_rule_is_valid() IS
    'Trigger: checks the query of a rule, sets its author, and keeps built-in rules. Errors: as '
    'create_alert_rule, and 0A000 for a change of a built-in rule.';
CREATE TRIGGER alert_rule_is_valid
    BEFORE INSERT OR UPDATE OR DELETE ON crewsnow_ops.alert_rules
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.alert_rule_is_valid();
COMMENT ON TRIGGER alert_rule_is_valid ON crewsnow_ops.alert_rules IS
    'Checks the rule; see the function.';
ALTER TABLE crewsnow_ops.alert_rules ENABLE ALWAYS TRIGGER alert_rule_is_valid;

REVOKE ALL ON FUNCTION crewsnow_ops.rule_time(), crewsnow_ops.test_rule(text),
    crewsnow_ops.alert_rule_is_valid(), crewsnow_ops.create_alert_rule(text, text,
        double precision, double precision, text, interval, interval, interval, bigint, text, text,
        text) FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.alert_rules'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.alert_evaluations'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.alert_states'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.alert_groups'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.alert_events'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.silences'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.alert_clock'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.rule_time()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.test_rule(text)'),
    ('admin', 'INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.alert_rules'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.create_alert_rule(text, text, '
        'double precision, double precision, text, interval, interval, interval, bigint, text, '
        'text, text)');
