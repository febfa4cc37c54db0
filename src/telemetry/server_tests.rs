//! Telemetry in a running server.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    fn text(sql: &str) -> String {
        Spi::get_one::<String>(sql).expect(sql).expect("not NULL")
    }

    /// On-disk numerics of any length, scale and form decode to the value that SQL shows.
    #[pg_test]
    fn numerics_decode_to_the_value_that_sql_shows() {
        let sql = "SELECT count(*) FILTER (WHERE is_valid IS DISTINCT FROM (ms >= 0 \
            AND round(ms * 1000000) <= 86400000000000)) || ' '
                || count(*) FILTER (WHERE is_valid AND longest IS DISTINCT
                    FROM round(ms * 1000000)::float8 / 1e6) || ' of ' || (count(*) > 10000)
            FROM (
                SELECT ms, is_valid, CASE WHEN is_valid THEN (
                    SELECT crewsnow_ops.sketch_quantile(crewsnow_ops.latency_sketch(one.ms), 1)
                        FROM (VALUES (numbers.ms)) AS one (ms)
                ) END AS longest
                FROM (
                    SELECT (random() * 10 ^ (random() * 11 - 3))::numeric AS ms
                        FROM generate_series(1, 5000)
                    UNION ALL SELECT round((random() * 10 ^ (random() * 9))::numeric,
                        (random() * 8)::int) FROM generate_series(1, 5000)
                    UNION ALL SELECT 10::numeric ^ e FROM generate_series(-30, 30) AS e
                    UNION ALL SELECT 10::numeric ^ e / 3 FROM generate_series(-30, 30) AS e
                    UNION ALL SELECT -n::numeric / 7 FROM generate_series(1, 20) AS n
                    UNION ALL SELECT n FROM generate_series(0, 100000, 37) AS n
                    UNION ALL VALUES (0), (0.0000005), (0.00000049999), (86400000),
                        (86400000.0000004), (86400000.0000005), (1e-200),
                        (1e200), (-0.0), ('NaN'), ('Infinity'), ('-Infinity')
                ) AS numbers (ms), LATERAL (SELECT crewsnow_ops.is_valid_event('x', NULL, ms, '{}',
                    now())) AS v (is_valid)
            ) AS checked";
        assert_eq!(text(sql), "0 0 of true");
    }

    /// The database stores a duration in double precision with the digits of a cast in SQL.
    // passes before: the cast itself did the work
    #[pg_test]
    fn a_duration_in_double_precision_has_the_digits_of_a_cast() {
        Spi::run(
            "CREATE TEMPORARY TABLE written AS
             SELECT ms, log_system_event('cast', NULL, '{}'::jsonb, ms) AS id
             FROM (
                SELECT random() * 10 ^ (random() * 14 - 7) FROM generate_series(1, 3000)
                UNION ALL SELECT round((random() * 10 ^ (random() * 7))::numeric,
                    (random() * 8)::int)::float8 FROM generate_series(1, 6000)
                UNION ALL SELECT n / 1000.0::float8 FROM generate_series(0, 9999, 7) AS n
                UNION ALL VALUES (0.1::float8 + 0.2), (-0.0), (1e-6), (1e-7), (1e-300),
                    (123456.789012345), (86400000), (0.30000000000000004), (1.0 / 3)
             ) AS numbers (ms)",
        )
        .expect("events");
        let wrong = "SELECT count(*) FILTER (WHERE e.execution_time_ms::text
                IS DISTINCT FROM w.ms::numeric::text) || ' of ' || count(*)
            FROM written AS w JOIN event_log AS e USING (id)";
        assert_eq!(text(wrong), "0 of 10438");
    }

    /// Status codes of every type, by the SQL rule and by the decoder.
    #[pg_test]
    fn a_5xx_is_decoded_as_the_sql_rule_says() {
        Spi::run(
            "INSERT INTO event_log (event_type, function_name, payload)
             SELECT 'x', 'status_' || n, CASE n % 4
                WHEN 0 THEN jsonb_build_object('status_code', n)
                WHEN 1 THEN jsonb_build_object('status_code', n::text)
                WHEN 2 THEN jsonb_build_object('a', n, 'status_code', (n::numeric / 100), 'z',
                    '{}'::jsonb)
                ELSE jsonb_build_object('status', n) END
             FROM generate_series(-600, 6000, 3) AS n",
        )
        .expect("events");
        let wrong = "SELECT count(*) || ' of ' || (SELECT count(*) FROM event_log \
            WHERE function_name LIKE 'status%')
            FROM event_log JOIN edge_functions_monitoring USING (function_name)
            WHERE function_name LIKE 'status%'
                AND coalesce(payload ->> 'status_code' LIKE '5%', false)::int <> error_5xx_count";
        assert_eq!(text(wrong), "0 of 2201");
    }

    /// A row from a clock that runs ahead keeps its minute in the default partition. The rest of
    /// the day gets partitions.
    #[pg_test]
    fn an_early_row_costs_one_minute_of_its_day() {
        Spi::run(
            "INSERT INTO event_log (event_type, function_name, created_at) \
            VALUES ('x', 'early', date_trunc('day', now(), 'UTC') + interval '36 hours')",
        )
        .expect("an early row");
        // In a transaction block the roll-up makes no partitions, so the test calls their function.
        crate::access::as_owner(crate::telemetry::rollup::partitions::make_partitions)
            .expect("partitions");
        let bounds = "SELECT string_agg(pg_get_expr(relpartbound, oid), ' ' ORDER BY relname) \
            FROM pg_class
            WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'event_log'::regclass)
            AND relname LIKE 'event_log_' || to_char(now() AT TIME ZONE 'UTC' + interval '1 day',
                'YYYYMMDD') || '%'";
        let found = text(bounds);
        assert!(found.contains("12:00:00+00')") && found.contains("12:01:00+00')"), "{found}");
        Spi::run("SELECT * FROM crewsnow_ops.roll_up_events()").expect("a roll-up");
    }

    #[pg_test]
    fn a_webhook_is_recorded_once() {
        let record = |outcome: &str| {
            let sql = format!(
                "SELECT crewsnow_ops.record_stripe_webhook('evt_once', 'invoice.paid', {outcome}, \
                 'because')"
            );
            let attempts = Spi::get_one::<i32>(&sql).expect("recorded").expect("not NULL");
            let state = text(
                "SELECT status || ' ' || coalesce(error_message, '-') FROM processed_events \
                 WHERE event_id = 'evt_once'",
            );
            format!("{attempts} {state}")
        };
        assert_eq!(record("NULL"), "1 received -");
        assert_eq!(record("false"), "1 failed because", "the outcome of the same delivery");
        assert_eq!(record("NULL"), "2 received -", "Stripe tries again");
        assert_eq!(record("true"), "2 processed -");
        assert_eq!(record("true"), "3 processed -", "a redelivery");
        assert_eq!(record("false"), "4 processed -", "what was processed stays so");
        assert_eq!(
            text("SELECT count(*)::text FROM processed_events WHERE event_id = 'evt_once'"),
            "1"
        );
        assert_eq!(text("SELECT sum(total_events)::text FROM stripe_webhook_monitoring"), "1");
    }

    #[pg_test]
    fn erasing_a_user_keeps_counts() {
        Spi::run(
            "INSERT INTO event_log (event_type, function_name, user_id, ip_address, payload)
             VALUES ('x', 'erased', '11111111-1111-4111-8111-111111111111', '10.0.0.1',
                 '{\"status_code\": 500, \"email\": \"a@b.c\"}')",
        )
        .expect("an event");
        Spi::run(
            "UPDATE event_log SET user_id = NULL, ip_address = NULL, payload = payload - 'email'
             WHERE user_id = '11111111-1111-4111-8111-111111111111'",
        )
        .expect("erased");
        let left = "SELECT total_calls || ' ' || error_5xx_count FROM edge_functions_monitoring \
            WHERE function_name = 'erased'";
        assert_eq!(text(left), "1 1");
    }

    const LOG: &str = "SELECT log_system_event('logged', '11111111-1111-4111-8111-111111111111', \
        '{\"a\": 1}', 1.5, 'f')";
    const CALL: &str = "SELECT crewsnow_ops.record_edge_call('f', 1.5, 503, NULL, '/f', \
        '10.0.0.1', 'curl', '{\"a\": 1}')";

    /// Makes the partition of today: an insert without the executor needs one.
    fn make_today() {
        Spi::run(
            "CREATE TABLE today PARTITION OF event_log FOR VALUES \
            FROM ('-infinity') TO ('infinity')",
        )
        .expect("a partition");
        Spi::run("CREATE INDEX ON today USING brin (tx, created_at)").expect("its index");
    }

    fn last_event() -> String {
        text(
            "SELECT concat_ws(' ', tableoid::regclass, event_type, user_id, payload, \
             execution_time_ms, function_name, endpoint, ip_address,
                user_agent, created_at = now(), tx = txid_current(), id IS NOT NULL)
             FROM event_log ORDER BY ctid DESC LIMIT 1",
        )
    }

    #[pg_test]
    fn direct_and_sql_inserts_write_the_same_row() {
        make_today();
        Spi::run(LOG).expect("an event");
        let logged = "today logged 11111111-1111-4111-8111-111111111111 {\"a\": 1} 1.5 f t t t";
        assert_eq!(last_event(), logged);
        Spi::run(CALL).expect("a call");
        let called = "today edge_function_call {\"a\": 1, \"status_code\": 503} 1.5 f /f 10.0.0.1 \
            curl t t t";
        assert_eq!(last_event(), called);
        // With a trigger, even one that does nothing, both inserts go through SQL.
        Spi::run(
            "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER nothing BEFORE INSERT ON event_log
                 FOR EACH ROW EXECUTE FUNCTION nothing()",
        )
        .expect("a trigger");
        Spi::run(LOG).expect("an event");
        assert_eq!(last_event(), logged);
        Spi::run(CALL).expect("a call");
        assert_eq!(last_event(), called);
        assert_eq!(
            text("SELECT total_calls || ' ' || error_5xx_count FROM edge_functions_monitoring"),
            "4 2"
        );
        Spi::run("SELECT log_system_event('bare', p_payload => NULL)").expect("an event");
        assert_eq!(last_event(), "today bare t t t");
    }

    #[pg_test]
    fn user_constraints_and_triggers_apply_to_the_functions() {
        make_today();
        let with = |addition: &str, effect: &str| {
            Spi::run(addition).expect(addition);
            Spi::run(LOG).expect("an event");
            assert_eq!(text(effect), "true", "{addition}");
        };
        with(
            "ALTER TABLE event_log ADD COLUMN region text NOT NULL DEFAULT 'alps'",
            "SELECT (count(*) FILTER (WHERE region = 'alps') = 1)::text FROM event_log",
        );
        with(
            "ALTER TABLE event_log DROP COLUMN region",
            "SELECT (count(*) = 2)::text FROM event_log",
        );
        with(
            "ALTER TABLE event_log ALTER created_at SET DEFAULT '2001-01-01'",
            "SELECT (min(created_at) = '2001-01-01')::text FROM event_log",
        );
        Spi::run("ALTER TABLE event_log ALTER created_at SET DEFAULT now()").expect("as it was");
        with(
            "CREATE INDEX by_type ON event_log (event_type)",
            "SELECT (set_config('enable_seqscan', 'off', true) = 'off' AND
                (SELECT count(*) = 4 FROM event_log WHERE event_type = 'logged'))::text",
        );
        Spi::run("DROP INDEX by_type").expect("as it was");
        with(
            "CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM \
             set_config('test.fired', 'true', true); RETURN NULL; END$$;
             CREATE TRIGGER mark AFTER INSERT ON today FOR EACH ROW EXECUTE FUNCTION mark()",
            "SELECT current_setting('test.fired')",
        );
        Spi::run("DROP TRIGGER mark ON today").expect("as it was");
        with(
            "SELECT set_config('test.fired', 'false', true);
             CREATE TRIGGER mark AFTER INSERT ON event_log
                 FOR EACH STATEMENT EXECUTE FUNCTION mark()",
            "SELECT current_setting('test.fired')",
        );
        Spi::run("DROP TRIGGER mark ON event_log").expect("as it was");
        with(
            "CREATE TABLE archive (event_type text); CREATE RULE archive AS ON INSERT TO \
             event_log DO ALSO INSERT INTO archive VALUES (new.event_type)",
            "SELECT (count(*) = 1)::text FROM archive",
        );
        Spi::run("DROP RULE archive ON event_log").expect("as it was");
        with(
            "ALTER TABLE event_log ALTER execution_time_ms TYPE numeric(8, 0)",
            "SELECT (max(execution_time_ms) = 2 AND min(execution_time_ms) = 2)::text \
             FROM event_log",
        );
        Spi::run("ALTER TABLE event_log ALTER execution_time_ms TYPE numeric").expect("as it was");
        with(
            "ALTER TABLE event_log DROP CONSTRAINT event_log_check",
            "SELECT (count(*) = 9)::text FROM event_log",
        );
    }

    #[pg_test(error = "new row for relation \"today\" violates check constraint \"not_logged\"")]
    fn a_user_constraint_is_enforced() {
        make_today();
        Spi::run("ALTER TABLE event_log ADD CONSTRAINT not_logged CHECK (event_type <> 'logged')")
            .expect("a constraint");
        Spi::run(LOG).expect("refused");
    }

    #[pg_test(
        error = "new row for relation \"today\" violates check constraint \"event_log_check\""
    )]
    fn a_constraint_is_recognized_by_its_expression() {
        make_today();
        Spi::run(
            "ALTER TABLE event_log DROP CONSTRAINT event_log_check, ADD CONSTRAINT event_log_check
             CHECK (crewsnow_ops.is_valid_event(event_type, function_name, execution_time_ms,
                 payload, created_at) AND event_type <> 'logged')",
        )
        .expect("a constraint");
        Spi::run(LOG).expect("refused");
    }

    fn set_role(and: &str) {
        make_today();
        Spi::run(
            "CREATE ROLE event_writer; \
             GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO event_writer",
        )
        .expect("a role");
        Spi::run(and).expect("prepared");
        Spi::run("SET LOCAL ROLE event_writer").expect("event_writer");
    }

    #[pg_test(error = "permission denied for table event_log")]
    fn writing_needs_the_insert_privilege() {
        set_role("GRANT SELECT ON event_log TO event_writer");
        Spi::run(LOG).expect("refused");
    }

    #[pg_test(error = "new row violates row-level security policy for table \"event_log\"")]
    fn policies_are_enforced() {
        set_role(
            "GRANT INSERT ON event_log TO event_writer; ALTER TABLE event_log ENABLE ROW LEVEL \
             SECURITY",
        );
        Spi::run(LOG).expect("refused");
    }
}
