//! The first view of an incident: its order, its width, and its rows for a server that is healthy,
//! blind or busy.

use crate::health::in_background;
use crate::replication::wait_until;
use harness::{Cluster, both, preload_statements, rows, run, sqlstate, value};
use postgres::Client;

const STATUSES: &str = "SELECT status, metric FROM crewsnow_ops.triage";

/// Whether the disk of the machine that runs the test is short of space, which is an incident.
fn disk_is_full(client: &mut Client) -> bool {
    let full = "SELECT count(*) FROM performance_health_check()
        WHERE metric = 'Disk Space' AND status IN ('WARNING', 'CRITICAL')";
    value(client, full) != "0"
}

/// The view as psql prints it, with header and footer, and its widest line.
fn on_a_terminal(cluster: &Cluster, database: &str) -> (Vec<String>, usize) {
    let mut psql = cluster.psql(database);
    psql.args(["-X", "-P", "pager=off", "-c", "SELECT * FROM crewsnow_ops.triage"]);
    let output = psql.output().expect("psql runs");
    assert!(output.status.success(), "{}", both(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let widest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    (lines, widest)
}

/// Sessions that wait for a row that `holder` has updated.
fn wait_behind(cluster: &Cluster, holder: &mut Client, waiting: usize) {
    run(holder, "BEGIN; UPDATE tickets SET seats = 1");
    for _ in 0..waiting {
        in_background(cluster.connect("triage"), "UPDATE tickets SET seats = 2");
    }
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
        AND clock_timestamp() - query_start > interval '1.5 seconds'";
    let mut watcher = cluster.connect("triage");
    wait_until("the sessions to wait", || {
        run(&mut watcher, "SELECT pg_stat_clear_snapshot()");
        value(&mut watcher, blocked) == waiting.to_string()
    });
}

#[test]
fn an_outage_stands_above_a_stale_report_and_fits_the_terminal() {
    let Some(preload) = preload_statements() else { return };
    let cluster = Cluster::start("triage", preload);
    let mut a = cluster.create_database("triage");
    run(&mut a, "CREATE EXTENSION pg_stat_statements; CREATE TABLE tickets (id int, seats int)");
    run(&mut a, "INSERT INTO tickets VALUES (1, 0)");

    // A healthy server: one row with evidence, below the row that asks for samples.
    let healthy = rows(&mut a, STATUSES);
    let is_full = disk_is_full(&mut a);
    let mut last = vec!["SKIPPED|Health Samples"];
    last.extend((!is_full).then_some("OK|No Incident"));
    assert!(healthy.iter().map(String::as_str).collect::<Vec<_>>().ends_with(&last), "{healthy:?}");
    let sample = "SELECT command FROM crewsnow_ops.triage WHERE metric = 'Health Samples'";
    let sample = value(&mut a, sample);
    assert_eq!(value(&mut a, &sample), "t", "{sample}");
    let healthy = rows(&mut a, STATUSES);
    assert!(!healthy.contains(&"SKIPPED|Health Samples".to_owned()), "{healthy:?}");
    let evidence = rows(&mut a, "SELECT object FROM crewsnow_ops.triage WHERE status = 'OK'");
    let has_evidence = evidence.iter().any(|row| row.contains(" checks OK; 0 blocked; "));
    assert!(has_evidence || is_full, "{evidence:?}");
    run(
        &mut a,
        "UPDATE crewsnow_ops.health_samples SET sampled_at = sampled_at - interval '9 min'",
    );
    let outdated = rows(&mut a, STATUSES);
    assert!(outdated.contains(&"SKIPPED|Health Samples".to_owned()), "{outdated:?}");

    // A report of last month, with a name that is wide and would move the cursor.
    let name = format!("{}\u{1b}[2J", "月報".repeat(8));
    run(&mut a, &format!("CREATE MATERIALIZED VIEW \"{name}\" AS SELECT 1"));
    run(
        &mut a,
        "UPDATE crewsnow_ops.matview_refreshes SET refreshed_at = now() - interval '30 days'",
    );
    let first = "SELECT metric FROM performance_health_check() ORDER BY severity_rank LIMIT 1";
    let stale = rows(&mut a, STATUSES);
    assert!(stale.iter().any(|row| row.ends_with("|KPI Freshness")), "{stale:?}");
    let mut holder = cluster.connect("triage");
    wait_behind(&cluster, &mut holder, 8);
    assert_eq!(value(&mut a, first), "Blocked Sessions");
    let jammed = rows(&mut a, STATUSES);
    assert!(jammed[0].ends_with("|Blocked Sessions"), "{jammed:?}");
    assert!(!jammed.contains(&"OK|No Incident".to_owned()), "{jammed:?}");
    assert!(jammed.iter().any(|row| row.ends_with("|KPI Freshness")), "{jammed:?}");
    let (lines, widest) = on_a_terminal(&cluster, "triage");
    assert!(widest <= 120 && lines.len() <= 14, "{widest}\n{}", lines.join("\n"));
    assert!(!lines.iter().any(|line| line.contains('\u{1b}')), "{lines:?}");

    // The command of the first row leads to one that ends the jam.
    let command = value(&mut a, "SELECT command FROM crewsnow_ops.triage LIMIT 1");
    run(&mut a, "SET search_path = ''");
    let page = rows(&mut a, &command);
    let at = page.iter().position(|line| line == "command:").expect("a command");
    let advised = "SELECT next_command FROM public.performance_health_check() LIMIT 1";
    assert_eq!(page[at + 1], value(&mut a, advised));
    run(&mut holder, "ROLLBACK");
}

#[test]
fn a_blind_role_or_server_is_told_and_never_ok() {
    let cluster = Cluster::start("triage_blind", "");
    let mut a = cluster.create_database("blind");
    run(&mut a, "CREATE ROLE watcher LOGIN; SELECT crewsnow_ops.grant_access('watcher', 'reader')");
    let mut watcher = cluster.connect_as("watcher", "blind");
    let is_ok = "SELECT count(*) FROM crewsnow_ops.triage WHERE status = 'OK'";
    let ok = if disk_is_full(&mut a) { "0" } else { "1" };
    assert_eq!(value(&mut watcher, is_ok), "0", "a role that sees no session");
    let grant = "SELECT command FROM crewsnow_ops.triage WHERE command LIKE 'GRANT pg_monitor%'";
    let grant = value(&mut watcher, grant);
    run(&mut a, &grant);
    assert_eq!(value(&mut watcher, is_ok), ok, "{grant}");

    run(&mut a, "ALTER SYSTEM SET track_activities = off");
    run(&mut a, "SELECT pg_reload_conf()");
    let reason = "SELECT count(*) FROM crewsnow_ops.triage
        WHERE status = 'SKIPPED' AND object LIKE 'track_activities is%'";
    wait_until("the blindness", || value(&mut a, reason) == "1");
    assert_eq!(value(&mut a, is_ok), "0");
    run(&mut a, "ALTER SYSTEM RESET track_activities");
    run(&mut a, "SELECT pg_reload_conf()");
    wait_until("the sight", || value(&mut a, is_ok) == ok && value(&mut a, reason) == "0");
}

#[test]
fn a_busy_server_is_spared_and_told_so() {
    let cluster = Cluster::start("triage_busy", "");
    let mut a = cluster.create_database("busy");
    let left_out = "SELECT count(*) FROM performance_health_check()
        WHERE status = 'SKIPPED' AND evidence LIKE 'left out: budget of % ms%'";
    run(&mut a, "SET crewsnow_ops.health_budget = '1ms'");
    assert_eq!(value(&mut a, left_out), "0", "an idle server has time for all checks");
    for _ in 0..25 {
        in_background(cluster.connect("busy"), "SELECT pg_sleep(60)");
    }
    let active = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'";
    wait_until("the sessions", || value(&mut a, active) == "25");
    assert!(value(&mut a, left_out).parse::<i32>().expect("a number") >= 10);
    run(&mut a, "SET crewsnow_ops.health_budget = '1min'");
    assert_eq!(value(&mut a, left_out), "0", "the budget is large enough");
    run(&mut a, "SET crewsnow_ops.health_budget = '300ms'");
    let looked = "SELECT count(*) FROM performance_health_check()
        WHERE metric IN ('Blocked Sessions', 'Connections', 'Active Connections', 'Long Queries')
            AND status <> 'SKIPPED'";
    assert_eq!(value(&mut a, looked), "4", "checks of harm now have more time");
    run(&mut a, "SET crewsnow_ops.health_budget = '1ms'");
    let told = "SELECT object FROM crewsnow_ops.triage WHERE object LIKE 'left out: budget%'";
    assert!(value(&mut a, told).starts_with("left out: budget"));
    run(&mut a, "SET crewsnow_ops.health_budget = 0");
    assert_eq!(value(&mut a, left_out), "0", "without a budget nothing is left out");
    run(&mut a, "RESET crewsnow_ops.health_budget");
    let all = "SELECT count(DISTINCT metric) FROM performance_health_check()";
    let checks = value(&mut a, all);
    run(&mut a, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%(60)'");
    assert_eq!(value(&mut a, all), checks, "each check has a row in any case");
}

#[test]
fn a_finding_is_called_by_its_name_or_place() {
    let cluster = Cluster::start("triage_names", "");
    let mut a = cluster.create_database("names");
    let page = rows(&mut a, "SELECT crewsnow_ops.health_finding('wraparound')");
    assert_eq!(page[0], "OK Wraparound");
    let first = value(&mut a, "SELECT status || ' ' || metric FROM crewsnow_ops.triage LIMIT 1");
    let page = rows(&mut a, "SELECT crewsnow_ops.health_finding('1')");
    assert!(first.starts_with(&page[0]), "{first}: {page:?}");
    for unknown in ["'wrap round'", "'0'", "'99'", "''", "repeat('x', 1000000)"] {
        let sql = format!("SELECT crewsnow_ops.health_finding({unknown})");
        assert_eq!(sqlstate(&mut a, &sql), "42704", "{unknown}");
    }
    assert_eq!(sqlstate(&mut a, "SELECT crewsnow_ops.health_finding(NULL)"), "22004");
}
