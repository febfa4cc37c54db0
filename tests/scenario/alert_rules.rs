//! Each built-in rule fires on a planted failure, and clears after it.

use harness::{Cluster, rows, run, server_command, value};
use postgres::Client;
use std::collections::BTreeSet;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A server whose clock the test moves, and the rules whose failures it has planted.
struct Server {
    cluster: Cluster,
    a: Client,
    clock: i64,
    seen: BTreeSet<String>,
}

impl Server {
    fn start(name: &str, settings: &str) -> Self {
        let cluster = Cluster::start_with_clock(name, settings);
        let a = cluster.create_database("rules");
        Self { cluster, a, clock: 0, seen: BTreeSet::new() }
    }

    fn run(&mut self, sql: &str) {
        run(&mut self.a, sql);
    }

    /// Each statement in a transaction of its own.
    fn run_each(&mut self, statements: &[&str]) {
        statements.iter().for_each(|sql| run(&mut self.a, sql));
    }

    fn pass(&mut self, seconds: i64) {
        self.clock += seconds;
        self.cluster.set_clock(self.clock);
    }

    /// A minute and a tick.
    fn tick(&mut self) {
        self.pass(MINUTE);
        let told = rows(&mut self.a, "SELECT verdict, failed, note FROM crewsnow_ops.tick()");
        assert_eq!(told, ["DONE|0|NULL"]);
    }

    /// Only this rule is evaluated from now on, and begins anew.
    fn only(&mut self, rule: &str) {
        self.run(&format!(
            "UPDATE crewsnow_ops.alert_rules SET is_enabled = name = '{rule}'
             WHERE is_enabled <> (name = '{rule}')"
        ));
        self.tick();
        assert!(self.states().is_empty(), "{rule} on a healthy server: {:?}", self.states());
    }

    fn states(&mut self) -> Vec<String> {
        rows(
            &mut self.a,
            "SELECT rule, subject, state, severity, message FROM crewsnow_ops.alert_states
             WHERE state <> 'ok'",
        )
    }

    /// Ticks until the rule fires with this severity; at most half an hour.
    fn fires(&mut self, rule: &str, severity: &str) {
        for _ in 0..30 {
            self.tick();
            let fires = self.states().iter().any(|state| {
                state.contains("|firing|") && state.contains(severity) && state.starts_with(rule)
            });
            if fires {
                self.seen.insert(rule.to_owned());
                return;
            }
        }
        panic!("{rule} does not fire: {:?}", self.states());
    }

    /// Ticks until no alert is left; at most two hours.
    fn clears(&mut self, rule: &str) {
        for _ in 0..120 {
            self.tick();
            if self.states().is_empty() {
                return;
            }
        }
        panic!("{rule} does not clear: {:?}", self.states());
    }

    /// Calls of `checkout` in each of the last complete minutes, and in the next one.
    fn calls(&mut self, minutes: i64, a_minute: i64, milliseconds: i64, failing: i64) {
        self.run(&format!(
            "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload,
                created_at)
             SELECT 'edge_function_call', 'checkout', {milliseconds},
                jsonb_build_object('status_code', CASE WHEN n <= {failing} THEN 503 ELSE 200 END),
                date_trunc('minute', clock_timestamp()) - m * interval '1 minute'
             FROM generate_series(0, {minutes} - 1) AS m, generate_series(1, {a_minute}) AS n"
        ));
    }
}

#[test]
fn rules_of_traffic_fire_and_clear() {
    let mut server = Server::start("rules_traffic", "");
    server.calls(10, 20, 80, 0);
    for (milliseconds, severity) in [(2_600, "warning"), (7_000, "critical")] {
        server.only("p95-latency");
        server.calls(10, 20, 80, 0);
        server.tick();
        server.calls(3, 300, milliseconds, 0);
        server.fires("p95-latency", severity);
        for _ in 0..12 {
            server.calls(1, 20, 80, 0);
            server.tick();
        }
        server.clears("p95-latency");
    }
    server.only("error-rate");
    server.calls(5, 20, 80, 3);
    server.fires("error-rate", "critical");
    for _ in 0..12 {
        server.calls(1, 20, 80, 0);
        server.tick();
    }
    server.clears("error-rate");
    // One failure of one call is no rate.
    server.pass(HOUR);
    server.calls(1, 1, 80, 1);
    for _ in 0..4 {
        server.tick();
    }
    assert!(server.states().is_empty(), "{:?}", server.states());

    for (rule, severity, hours, failing) in
        [("burn-rate-fast", "critical", 1, 20), ("burn-rate-slow", "warning", 6, 8)]
    {
        server.pass(DAY);
        server.only(rule);
        server.calls(hours * 60, 1_000, 80, failing);
        server.fires(rule, severity);
        for _ in 0..60 {
            server.calls(1, 1_000, 80, 0);
            server.tick();
        }
        server.clears(rule);
    }
    assert_eq!(server.seen.len(), 4);
}

#[test]
fn rules_of_payments_fire_and_clear() {
    let mut server = Server::start("rules_payments", "");
    let webhooks = |server: &mut Server, name: &str, count: i64, status: &str, age: &str| {
        server.run(&format!(
            "INSERT INTO processed_events (event_id, event_type, status, received_at, processed_at)
             SELECT '{name}-' || n, 'invoice.paid', '{status}', t.at, t.at
             FROM generate_series(1, {count}) AS n,
                (SELECT clock_timestamp() - interval '{age}') AS t (at)"
        ));
    };
    server.only("webhook-failures");
    webhooks(&mut server, "good", 40, "processed", "3 minutes");
    webhooks(&mut server, "bad", 5, "failed", "2 minutes");
    server.fires("webhook-failures", "critical");
    server.run("UPDATE processed_events SET status = 'processed' WHERE status = 'failed'");
    server.pass(5 * MINUTE);
    webhooks(&mut server, "again", 40, "processed", "1 minute");
    server.clears("webhook-failures");

    server.only("webhook-backlog");
    webhooks(&mut server, "waiting", 6, "received", "10 minutes");
    server.fires("webhook-backlog", "warning");
    server.run("UPDATE processed_events SET status = 'processed' WHERE status = 'received'");
    server.clears("webhook-backlog");

    server.only("webhook-stuck");
    webhooks(&mut server, "one", 1, "received", "61 minutes");
    server.fires("webhook-stuck", "warning");
    server.run("UPDATE processed_events SET status = 'processed' WHERE status = 'received'");
    server.clears("webhook-stuck");

    server.only("webhook-silence");
    server.run(
        "INSERT INTO processed_events (event_id, event_type, received_at, processed_at)
         SELECT 'usual-' || n, 'invoice.paid', t.at, t.at
         FROM generate_series(1, 60 * 24 * 9) AS n,
            LATERAL (SELECT clock_timestamp() - n * interval '1 minute') AS t (at)",
    );
    server.tick();
    assert!(server.states().is_empty(), "{:?}", server.states());
    server.pass(2 * HOUR);
    server.fires("webhook-silence", "warning");
    webhooks(&mut server, "back", 3, "processed", "0");
    server.clears("webhook-silence");
    assert_eq!(server.seen.len(), 4);
}

#[test]
fn rules_of_sessions_fire_and_clear() {
    let mut server = Server::start("rules_sessions", "");
    server.run("CREATE TABLE orders (id int)");
    server.only("connections");
    let open: Vec<Client> = (0..50).map(|_| server.cluster.connect("rules")).collect();
    server.fires("connections", "warning");
    drop(open);
    server.clears("connections");

    server.only("blocked-sessions");
    let mut holder = server.cluster.connect("rules");
    run(&mut holder, "BEGIN; LOCK TABLE orders");
    let mut waiting = server.cluster.connect("rules");
    let waiter = std::thread::spawn(move || {
        run(&mut waiting, "SELECT count(*) FROM orders");
    });
    server.fires("blocked-sessions", "warning");
    run(&mut holder, "ROLLBACK");
    waiter.join().expect("it waits no longer");
    server.clears("blocked-sessions");

    server.only("idle-in-transaction");
    run(&mut holder, "BEGIN; INSERT INTO orders VALUES (1)");
    server.pass(2 * HOUR);
    server.fires("idle-in-transaction", "critical");
    run(&mut holder, "COMMIT");
    server.clears("idle-in-transaction");
    assert_eq!(server.seen.len(), 3);
}

#[test]
fn rules_of_wal_and_replication_fire_and_clear() {
    let archiving = "archive_mode = on\narchive_command = 'true'";
    let mut server = Server::start("rules_wal", archiving);
    server.only("wal-archiving");
    server.run_each(&["ALTER SYSTEM SET archive_command = 'false'", "SELECT pg_reload_conf()"]);
    for _ in 0..3 {
        server.run_each(&["SELECT txid_current()", "SELECT pg_switch_wal()"]);
    }
    crate::replication::wait_until("archiving fails", || {
        value(&mut server.a, "SELECT failed_count > 0 FROM pg_stat_archiver") == "t"
    });
    server.fires("wal-archiving", "critical");
    server.run_each(&["ALTER SYSTEM SET archive_command = 'true'", "SELECT pg_reload_conf()"]);
    crate::replication::wait_until("archiving works", || {
        run(&mut server.a, "SELECT pg_switch_wal()");
        value(&mut server.a, "SELECT last_archived_time > last_failed_time FROM pg_stat_archiver")
            == "t"
    });
    server.pass(2 * HOUR);
    server.clears("wal-archiving");

    let limits = |server: &mut Server, limits: &str| {
        let set = format!("ALTER SYSTEM SET crewsnow_ops.health_limits = '{limits}'");
        server.run_each(&[&set, "SELECT pg_reload_conf()", "SELECT pg_sleep(0.2)"]);
    };
    server.only("replication-slots");
    server.run("SELECT pg_create_physical_replication_slot('forgotten', true)");
    for _ in 0..3 {
        server.run_each(&["SELECT txid_current()", "SELECT pg_switch_wal()"]);
    }
    limits(&mut server, "slots.warning = 0.001, slots.critical = 0.01");
    server.fires("replication-slots", "critical");

    // The disk is full within the hour if WAL grows on as it did since the sample.
    server.run("UPDATE crewsnow_ops.alert_rules SET is_enabled = name = 'slot-disk-full'");
    server.tick();
    assert!(server.states().is_empty());
    server.run(
        "INSERT INTO crewsnow_ops.health_samples
         SELECT clock_timestamp() - interval '30 minutes', jsonb_build_object('lsn',
            jsonb_build_object('position', pg_current_wal_insert_lsn() - '0/0'::pg_lsn
                - crewsnow_ops.wal_disk_free() / 4))",
    );
    let hours: f64 = value(&mut server.a, "SELECT hours_left FROM crewsnow_ops.slot_forecast()")
        .parse()
        .expect("a number");
    assert!((hours - 2.0).abs() < 0.2, "a quarter in half an hour: {hours} h");
    let told = value(&mut server.a, "SELECT message FROM crewsnow_ops.slot_forecast()");
    assert!(told.contains("slot forgotten without a consumer retains"), "{told}");
    assert!(told.contains("disk full in 1 h 59 min") || told.contains("2 h 0 min"), "{told}");
    server.fires("slot-disk-full", "critical");
    server.run("SELECT pg_drop_replication_slot('forgotten')");
    server.clears("slot-disk-full");
    server.run("UPDATE crewsnow_ops.alert_rules SET is_enabled = name = 'replication-slots'");
    server.clears("replication-slots");
    limits(&mut server, "");

    // Commits wait for a standby that is not connected. Those of a tick must not.
    server.run("SET synchronous_commit = local");
    server.only("replication-lag");
    server.run_each(&[
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
        "SELECT pg_reload_conf()",
    ]);
    server.fires("replication-lag", "critical");
    server.run_each(&["ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"]);
    server.clears("replication-lag");
    assert_eq!(server.seen.len(), 4);
}

#[test]
fn rules_of_jobs_and_backups_fire_and_clear() {
    let mut server = Server::start("rules_jobs", "");
    server.only("http-not-landed");
    server.run(
        "CREATE SCHEMA net;
         CREATE TABLE net._http_response (id bigint, status_code int, timed_out boolean,
            error_msg text, created timestamptz DEFAULT clock_timestamp());
         INSERT INTO net._http_response VALUES (1, 200, false, NULL)",
    );
    server.tick();
    assert!(server.states().is_empty(), "a good answer");
    server
        .run("INSERT INTO net._http_response VALUES (2, 404, false, NULL), (3, NULL, true, NULL)");
    server.fires("http-not-landed", "warning");
    assert!(server.states()[0].contains("2 of 3 calls"), "{:?}", server.states());
    server.pass(2 * HOUR);
    server.clears("http-not-landed");

    server.only("maintenance-overdue");
    server.run("SELECT run_performance_maintenance()");
    server.tick();
    assert!(server.states().is_empty(), "just run: {:?}", server.states());
    server.pass(9 * DAY);
    server.fires("maintenance-overdue", "warning");
    server.run("SELECT run_performance_maintenance()");
    server.clears("maintenance-overdue");

    server.only("maintenance-failing");
    server.run(
        "CREATE TABLE divisor AS SELECT 1 AS x;
         CREATE MATERIALIZED VIEW quotient AS SELECT 1 / x AS y FROM divisor;
         UPDATE divisor SET x = 0",
    );
    server.run("SELECT run_performance_maintenance()");
    server.fires("maintenance-failing", "warning");
    server.run("UPDATE divisor SET x = 1");
    server.run("SELECT run_performance_maintenance()");
    server.clears("maintenance-failing");

    server.only("retention-failing");
    server.run(
        "CREATE TABLE visit (at timestamptz);
         INSERT INTO crewsnow_ops.retention_policies
            (name, target, time_column, keep, action, legal_basis)
         VALUES ('visits', 'public.visit', 'at', '30 days', 'delete', 'a test');
         ALTER TABLE visit RENAME TO visits",
    );
    server.run("SELECT run_gdpr_maintenance()");
    server.fires("retention-failing", "warning");
    server.run("ALTER TABLE visits RENAME TO visit");
    server.run("SELECT run_gdpr_maintenance()");
    server.clears("retention-failing");

    server.only("backup-overdue");
    let backup = "INSERT INTO backup_log (backup_type, backup_status, created_at, completed_at)
        VALUES ('daily', 'completed', clock_timestamp(), clock_timestamp())";
    server.run(backup);
    server.tick();
    assert!(server.states().is_empty());
    server.pass(27 * HOUR);
    server.fires("backup-overdue", "warning");
    server.pass(24 * HOUR);
    server.fires("backup-overdue", "critical");
    server.run(backup);
    server.clears("backup-overdue");

    server.only("restore-test-overdue");
    let proof = "SELECT crewsnow_ops.record_evidence('restore-test', true, '{\"by\": \"test\"}')";
    server.run(proof);
    server.tick();
    assert!(server.states().is_empty());
    server.pass(9 * DAY);
    server.fires("restore-test-overdue", "warning");
    server.run(proof);
    server.clears("restore-test-overdue");
    assert_eq!(server.seen.len(), 6);
}

#[test]
fn rules_of_security_and_alerting_fire_and_clear() {
    let mut server = Server::start("rules_security", "");
    server.only("rls-drift");
    server.run(
        "CREATE ROLE anon; CREATE ROLE authenticated;
         CREATE TABLE notes (id int, user_id uuid);
         ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
         GRANT SELECT ON notes TO anon",
    );
    server.run("SELECT crewsnow_ops.record_rls_audit()");
    server.tick();
    assert!(server.states().is_empty(), "one audit has no drift");
    server.run("CREATE POLICY open ON notes USING (true); INSERT INTO notes VALUES (1, NULL)");
    server.run("SELECT crewsnow_ops.record_rls_audit()");
    server.fires("rls-drift", "critical");
    // The leak stands: another audit that has it, too, resolves nothing.
    server.run("SELECT crewsnow_ops.record_rls_audit()");
    server.tick();
    assert_eq!(server.states().len(), 1, "{:?}", server.states());
    server.run(
        "SELECT crewsnow_ops.accept_finding(f.finding, 'public notes', now() + '1 day')
         FROM crewsnow_ops.rls_run_findings AS f
         JOIN crewsnow_ops.rls_runs AS r ON r.run = f.run
         WHERE f.severity <= 'HIGH' AND r.ran_at = (SELECT max(ran_at) FROM crewsnow_ops.rls_runs)",
    );
    server.clears("rls-drift");
    server.pass(25 * 60 * MINUTE);
    server.fires("rls-drift", "critical");
    server.run("DROP TABLE notes");
    server.run("SELECT crewsnow_ops.record_rls_audit()");
    server.clears("rls-drift");

    // The day above was a missed tick: its hour must be over.
    (0..61).for_each(|_| server.tick());
    server.only("ticks-missed");
    server.pass(20 * MINUTE);
    server.fires("ticks-missed", "warning");
    server.clears("ticks-missed");

    server.run("CREATE TABLE gone (n int)");
    server.run(
        "SELECT crewsnow_ops.create_alert_rule('gone', 'SELECT n::text, n, NULL FROM public.gone',
            p_critical => 1)",
    );
    server.run("UPDATE crewsnow_ops.alert_rules SET is_enabled = name IN ('gone', 'rules-broken')");
    server.tick();
    server.run("ALTER TABLE gone RENAME TO moved");
    for _ in 0..5 {
        server.pass(MINUTE);
        assert_eq!(rows(&mut server.a, "SELECT verdict FROM crewsnow_ops.tick()"), ["DONE"]);
    }
    let states = server.states();
    assert!(states[0].starts_with("rules-broken|gone|firing|warning|"), "{states:?}");
    assert!(states[0].contains("42P01"), "{states:?}");
    let shown = "SELECT status, rule FROM crewsnow_ops.alerts ORDER BY 1";
    assert_eq!(rows(&mut server.a, shown), ["ERROR|gone", "FIRING|rules-broken"]);
    server.run("ALTER TABLE moved RENAME TO gone");
    server.clears("rules-broken");
    assert_eq!(server.seen.len(), 2);
}

/// Failed and late jobs of pg_cron, told by its own table.
#[test]
fn rules_of_pg_cron_fire_and_clear() {
    let settings = "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'rules'";
    let mut server = Server::start("rules_cron", settings);
    server.run("CREATE EXTENSION pg_cron");
    crate::replication::wait_until("pg_cron runs", || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_cron launcher'";
        value(&mut server.a, sql) == "1"
    });
    server.only("cron-failing");
    server.run("SELECT cron.schedule('nightly', '0 3 * * *', 'SELECT 1/0')");
    let ran = |server: &mut Server, status: &str| {
        server.run(&format!(
            "INSERT INTO cron.job_run_details (jobid, runid, database, username, command, status,
                return_message, start_time, end_time)
             SELECT jobid, nextval('cron.runid_seq'), database, username, command, '{status}', 'x',
                clock_timestamp(), clock_timestamp() FROM cron.job"
        ));
    };
    for _ in 0..3 {
        ran(&mut server, "failed");
    }
    server.fires("cron-failing", "warning");
    ran(&mut server, "succeeded");
    server.clears("cron-failing");

    server.only("cron-overdue");
    server.run("SELECT cron.schedule('hourly', '0 * * * *', 'SELECT 1')");
    ran(&mut server, "succeeded");
    // The clock of the test jumps, and pg_cron runs no job that it has missed.
    server.run(
        "UPDATE cron.job_run_details SET start_time = start_time - interval '2 days', \
        end_time = end_time - interval '2 days'",
    );
    server.fires("cron-overdue", "");
    server.run("SELECT cron.unschedule('hourly'), cron.unschedule('nightly')");
    server.clears("cron-overdue");
}

/// A standby that becomes the primary says so at its first tick.
#[test]
fn a_failover_is_told_by_the_new_primary() {
    let mut primary = Cluster::start("rules_primary", "");
    let mut a = primary.create_database("rules");
    run(&mut a, "UPDATE crewsnow_ops.alert_rules SET is_enabled = name = 'failover'");
    run(&mut a, "SELECT * FROM crewsnow_ops.tick()");
    let standby = Cluster::standby("rules_standby", &primary);
    let mut b = standby.connect("rules");
    let told = "SELECT verdict, note FROM crewsnow_ops.tick()";
    assert_eq!(rows(&mut b, told), ["STANDBY|Alerts are evaluated on the primary."]);
    primary.stop("fast");
    run(&mut b, "SELECT pg_promote()");
    run(&mut b, "UPDATE crewsnow_ops.alert_rules SET every = '1 second'");
    for _ in 0..3 {
        run(&mut b, "SELECT * FROM crewsnow_ops.tick()");
        run(&mut b, "SELECT pg_sleep(1.1)");
    }
    let firing = "SELECT rule, subject, state FROM crewsnow_ops.alert_states";
    assert_eq!(rows(&mut b, firing), ["failover|timeline 2|firing"]);
    let notice = "SELECT message LIKE '%is the primary since%', suppressed_by
        FROM crewsnow_ops.alert_events WHERE event = 'notice'";
    assert_eq!(rows(&mut b, notice), ["t|NULL"], "a failover is no copy");
}

/// Transaction ids that run out: 1,450 million transactions after the last VACUUM.
#[test]
fn the_rule_of_wraparound_fires_and_clears() {
    let settings = "autovacuum = off\nautovacuum_freeze_max_age = 2000000000";
    let mut server = Server::start("rules_wraparound", settings);
    server.only("wraparound");
    server.run("CHECKPOINT");
    server.cluster.stop("fast");
    let data = server.cluster.scratch().join("data");
    let pages = data.join("pg_xact/0566");
    std::fs::write(&pages, vec![0_u8; 262_144]).expect("the states of transactions");
    harness::must_run(server_command("pg_resetwal").args(["-x", "1450000000", "-D"]).arg(&data));
    harness::must_run(
        std::process::Command::new("chown")
            .arg("--reference")
            .arg(data.join("PG_VERSION"))
            .arg(&pages),
    );
    server.cluster.boot();
    server.a = server.cluster.connect("rules");
    server.fires("wraparound", "critical");
    for database in ["rules", "postgres", "template1"] {
        run(&mut server.cluster.connect(database), "VACUUM (FREEZE)");
    }
    server.run("UPDATE pg_database SET datallowconn = true WHERE datname = 'template0'");
    run(&mut server.cluster.connect("template0"), "VACUUM (FREEZE)");
    server.clears("wraparound");
}
