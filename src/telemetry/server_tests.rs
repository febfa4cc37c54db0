//! Telemetry in a running server.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    fn text(sql: &str) -> String {
        Spi::get_one::<String>(sql).expect(sql).expect("not NULL")
    }

    /// The bytes of numbers mean what SQL says they mean, whatever their length, scale and form.
    #[pg_test]
    fn durations_are_read_as_the_server_writes_them() {
        let sql = "SELECT count(*) FILTER (WHERE is_valid IS DISTINCT FROM (ms >= 0 AND round(ms * 1000000) <= 86400000000000)) || ' '
                || count(*) FILTER (WHERE is_valid AND longest IS DISTINCT FROM round(ms * 1000000)::float8 / 1e6) || ' of ' || (count(*) > 10000)
            FROM (
                SELECT ms, is_valid, CASE WHEN is_valid THEN (
                    SELECT crewsnow_ops.sketch_quantile(crewsnow_ops.latency_sketch(one.ms), 1) FROM (VALUES (numbers.ms)) AS one (ms)
                ) END AS longest
                FROM (
                    SELECT (random() * 10 ^ (random() * 11 - 3))::numeric AS ms FROM generate_series(1, 5000)
                    UNION ALL SELECT round((random() * 10 ^ (random() * 9))::numeric, (random() * 8)::int) FROM generate_series(1, 5000)
                    UNION ALL SELECT 10::numeric ^ e FROM generate_series(-30, 30) AS e
                    UNION ALL SELECT 10::numeric ^ e / 3 FROM generate_series(-30, 30) AS e
                    UNION ALL SELECT -n::numeric / 7 FROM generate_series(1, 20) AS n
                    UNION ALL SELECT n FROM generate_series(0, 100000, 37) AS n
                    UNION ALL VALUES (0), (0.0000005), (0.00000049999), (86400000), (86400000.0000004), (86400000.0000005), (1e-200),
                        (1e200), (-0.0), ('NaN'), ('Infinity'), ('-Infinity')
                ) AS numbers (ms), LATERAL (SELECT crewsnow_ops.is_valid_event('x', NULL, ms, '{}', now())) AS v (is_valid)
            ) AS checked";
        assert_eq!(text(sql), "0 0 of true");
    }

    /// Status codes of every kind, by the rule in SQL and by ours.
    #[pg_test]
    fn errors_are_what_the_rule_says() {
        Spi::run(
            "INSERT INTO event_log (event_type, function_name, payload)
             SELECT 'x', 'status_' || n, CASE n % 4
                WHEN 0 THEN jsonb_build_object('status_code', n)
                WHEN 1 THEN jsonb_build_object('status_code', n::text)
                WHEN 2 THEN jsonb_build_object('a', n, 'status_code', (n::numeric / 100), 'z', '{}'::jsonb)
                ELSE jsonb_build_object('status', n) END
             FROM generate_series(-600, 6000, 3) AS n",
        )
        .expect("events");
        let wrong = "SELECT count(*) || ' of ' || (SELECT count(*) FROM event_log WHERE function_name LIKE 'status%')
            FROM event_log JOIN edge_functions_monitoring USING (function_name)
            WHERE function_name LIKE 'status%' AND coalesce(payload ->> 'status_code' LIKE '5%', false)::int <> error_5xx_count";
        assert_eq!(text(wrong), "0 of 2201");
    }

    /// A row from a clock that runs ahead keeps its minute in the default partition; the rest of its day gets partitions.
    #[pg_test]
    fn early_rows_cost_a_minute() {
        Spi::run("INSERT INTO event_log (event_type, function_name, created_at) VALUES ('x', 'early', date_trunc('day', now(), 'UTC') + interval '36 hours')")
            .expect("an early row");
        // In a transaction block, as here, nothing is locked for partitions; so they are made in the way that a call outside does.
        crate::telemetry::rollup::as_owner(crate::telemetry::rollup::make_partitions).expect("partitions");
        let bounds = "SELECT string_agg(pg_get_expr(relpartbound, oid), ' ' ORDER BY relname) FROM pg_class
            WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'event_log'::regclass)
            AND relname LIKE 'event_log_' || to_char(now() AT TIME ZONE 'UTC' + interval '1 day', 'YYYYMMDD') || '%'";
        let found = text(bounds);
        assert!(found.contains("12:00:00+00')") && found.contains("12:01:00+00')"), "{found}");
        Spi::run("SELECT * FROM crewsnow_ops.roll_up_events()").expect("a roll-up");
    }

    #[pg_test]
    fn a_webhook_is_recorded_once() {
        let record = |outcome: &str| {
            let sql =
                format!("SELECT crewsnow_ops.record_stripe_webhook('evt_once', 'invoice.paid', {outcome}, 'because')");
            let attempts = Spi::get_one::<i32>(&sql).expect("recorded").expect("not NULL");
            let state = text(
                "SELECT status || ' ' || coalesce(error_message, '-') FROM processed_events WHERE event_id = 'evt_once'",
            );
            format!("{attempts} {state}")
        };
        assert_eq!(record("NULL"), "1 received -");
        assert_eq!(record("false"), "1 failed because", "the outcome of the same delivery");
        assert_eq!(record("NULL"), "2 received -", "Stripe tries again");
        assert_eq!(record("true"), "2 processed -");
        assert_eq!(record("true"), "3 processed -", "a redelivery");
        assert_eq!(record("false"), "4 processed -", "what was processed stays so");
        assert_eq!(text("SELECT count(*)::text FROM processed_events WHERE event_id = 'evt_once'"), "1");
        assert_eq!(text("SELECT sum(total_events)::text FROM stripe_webhook_monitoring"), "1");
    }

    /// Erasing a user leaves the numbers alone.
    #[pg_test]
    fn people_are_erased_and_calls_stay() {
        Spi::run(
            "INSERT INTO event_log (event_type, function_name, user_id, ip_address, payload)
             VALUES ('x', 'erased', '11111111-1111-4111-8111-111111111111', '10.0.0.1', '{\"status_code\": 500, \"email\": \"a@b.c\"}')",
        )
        .expect("an event");
        Spi::run(
            "UPDATE event_log SET user_id = NULL, ip_address = NULL, payload = payload - 'email'
             WHERE user_id = '11111111-1111-4111-8111-111111111111'",
        )
        .expect("erased");
        let left = "SELECT total_calls || ' ' || error_5xx_count FROM edge_functions_monitoring WHERE function_name = 'erased'";
        assert_eq!(text(left), "1 1");
    }
}
