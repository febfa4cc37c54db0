//! Jobs of pg_cron that fail, are late or vanish, and healthy ones beside them.

use crate::maintenance_schedule::{wait_for, with_cron};
use harness::{Cluster, rows, run, value};
use postgres::Client;

/// Status, object and value of a check's findings.
fn found(client: &mut Client, metric: &str) -> Vec<String> {
    let sql = format!(
        "SELECT status || coalesce(' ' || object || ' ' || current_value, ' ' || evidence, '')
         FROM performance_health_check() WHERE metric = '{metric}' ORDER BY object"
    );
    rows(client, &sql)
}

fn is_ok(client: &mut Client, metric: &str) -> bool {
    found(client, metric).iter().all(|row| row.starts_with("OK"))
}

/// Runs the next command of the one finding of a check, with an empty search path.
fn cure(client: &mut Client, metric: &str) {
    let sql =
        format!("SELECT next_command FROM performance_health_check() WHERE metric = '{metric}'");
    let command = value(client, &sql);
    run(client, &format!("SET search_path = ''; {command} RESET search_path"));
}

/// Whether a run of the job has begun after `after`.
fn has_run(job: &str, after: &str) -> String {
    format!(
        "SELECT count(*) > 0 FROM cron.job_run_details AS d JOIN cron.job AS j USING (jobid)
         WHERE j.jobname = '{job}' AND d.status IN ('succeeded', 'failed')
             AND d.end_time > '{after}'"
    )
}

fn now(client: &mut Client) -> String {
    value(client, "SELECT clock_timestamp()")
}

/// Stops the process of pg_cron, or lets it go on.
fn signal_launcher(client: &mut Client, signal: &str) {
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_cron launcher'";
    let pid = value(client, sql);
    harness::must_run(std::process::Command::new("kill").args([signal, &pid]));
}

#[test]
fn a_failing_job_and_a_stopped_clock_are_reported_and_their_cure_is_seen() {
    let Some((mut cluster, mut a)) = with_cron("health_cron", "") else { return };
    assert!(is_ok(&mut a, "Cron Failing") && is_ok(&mut a, "Cron Overdue"), "without jobs");
    run(
        &mut a,
        "SELECT count(*) FROM crewsnow_ops.schedule_maintenance();
         SELECT cron.schedule('billing', '* * * * *', 'SELECT 1 / 0')",
    );
    assert!(is_ok(&mut a, "Cron Overdue"), "jobs that are not due yet");
    let begin = now(&mut a);
    wait_for(&mut a, "the first runs", &has_run("billing", &begin));
    wait_for(&mut a, "the first runs", &has_run("crewsnow_ops samples fleet", &begin));
    assert_eq!(found(&mut a, "Cron Failing"), ["WARNING job billing 1 runs failed"]);
    let evidence = "SELECT evidence FROM performance_health_check() WHERE metric = 'Cron Failing'";
    let evidence = value(&mut a, evidence);
    assert!(evidence.contains("role postgres in database fleet: ERROR: division"), "{evidence}");
    assert!(is_ok(&mut a, "Cron Overdue"), "jobs that ran");
    // A restart of the server is no delay of a frequent job, and a job may be repaired.
    run(
        &mut a,
        "SELECT cron.alter_job(jobid, command => 'SELECT 1') FROM cron.job
         WHERE jobname = 'billing'",
    );
    cluster.stop("fast");
    cluster.boot();
    let mut a = cluster.connect("fleet");
    run(&mut a, "SET crewsnow_ops.health_limits = 'cron_overdue.warning = 0.1'");
    assert!(is_ok(&mut a, "Cron Overdue"), "{:?}", found(&mut a, "Cron Overdue"));
    let begin = now(&mut a);
    wait_for(&mut a, "a repaired run", &has_run("billing", &begin));
    assert!(is_ok(&mut a, "Cron Failing"), "{:?}", found(&mut a, "Cron Failing"));
    signal_launcher(&mut a, "-STOP");
    // Every five minutes a fourth job is due.
    let late = "SELECT count(*) FILTER (WHERE object IN ('job billing',
            'job crewsnow_ops roll-up fleet', 'job crewsnow_ops samples fleet')) = 3
            AND bool_and(current_value LIKE '% late'
                AND next_command LIKE '%cron.job_run_details%')
        FROM performance_health_check() WHERE metric = 'Cron Overdue' AND status = 'WARNING'";
    wait_for(&mut a, "late jobs", late);
    signal_launcher(&mut a, "-CONT");
    let begin = now(&mut a);
    wait_for(&mut a, "a run", &has_run("crewsnow_ops roll-up fleet", &begin));
    wait_for(
        &mut a,
        "the clock runs again",
        "SELECT bool_and(status = 'OK') FROM performance_health_check()
         WHERE metric = 'Cron Overdue'",
    );
}

#[test]
fn a_job_that_vanished_or_is_switched_off_is_reported() {
    let Some((_cluster, mut a)) = with_cron("health_cron_lost", "") else { return };
    run(&mut a, "SELECT count(*) FROM crewsnow_ops.schedule_maintenance()");
    run(&mut a, "DELETE FROM cron.job WHERE jobname LIKE '% retention %'");
    assert_eq!(
        found(&mut a, "Cron Overdue"),
        ["WARNING job crewsnow_ops retention fleet vanished"]
    );
    cure(&mut a, "Cron Overdue");
    assert!(is_ok(&mut a, "Cron Overdue"), "scheduled again");
    let off = "SELECT cron.alter_job(jobid, active => false) FROM cron.job
        WHERE jobname LIKE '% samples %'";
    run(&mut a, off);
    let switched_off = ["WARNING job crewsnow_ops samples fleet switched off"];
    assert_eq!(found(&mut a, "Cron Overdue"), switched_off);
    cure(&mut a, "Cron Overdue");
    assert!(is_ok(&mut a, "Cron Overdue"), "switched on");
    run(&mut a, "SELECT count(*) FROM crewsnow_ops.unschedule_maintenance()");
    assert!(is_ok(&mut a, "Cron Overdue"), "unscheduled");
    run(&mut a, "SELECT count(*) FROM crewsnow_ops.schedule_maintenance(); DROP EXTENSION pg_cron");
    assert_eq!(found(&mut a, "Cron Overdue"), ["WARNING pg_cron dropped"]);
    let none = "SELECT status || ' ' || current_value FROM performance_health_check()
        WHERE metric = 'Cron Failing'";
    assert_eq!(value(&mut a, none), "OK no pg_cron");
}

#[test]
fn a_missed_month_is_late_and_deleted_runs_are_no_proof() {
    let Some((_cluster, mut a)) = with_cron("health_cron_months", "") else { return };
    let schedule = "SELECT count(*) FROM crewsnow_ops.schedule_maintenance();
        UPDATE crewsnow_ops.scheduled_jobs SET scheduled_at = now() - interval '40 days';
        DELETE FROM cron.job WHERE jobname NOT LIKE '% audit %';
        DELETE FROM crewsnow_ops.scheduled_jobs WHERE job_name NOT LIKE '% audit %'";
    run(&mut a, schedule);
    let expect = |a: &mut Client, status: &str| {
        let found = found(a, "Cron Overdue").join(" ");
        assert!(found.starts_with(status), "{found}, not {status}");
    };
    let late = "WARNING job crewsnow_ops monthly audit fleet ";
    expect(&mut a, late);
    let add = |a: &mut Client, job: &str, ago: &str, status: &str| {
        let sql = format!(
            "INSERT INTO cron.job_run_details (jobid, status, start_time, end_time, return_message)
             SELECT {job}, '{status}', now() - interval '{ago}', now() - interval '{ago}', 'x'
             FROM cron.job"
        );
        run(a, &sql);
    };
    // Runs of another job, after the audit was due: the history reaches back far enough.
    add(&mut a, "99", "35 days", "succeeded");
    add(&mut a, "99", "1 minute", "succeeded");
    expect(&mut a, late);
    // Without the old run the history begins now, and the run of the audit may have been deleted.
    run(&mut a, "DELETE FROM cron.job_run_details WHERE start_time < now() - interval '1 day'");
    expect(&mut a, "OK");
    run(&mut a, "DELETE FROM cron.job_run_details");
    expect(&mut a, "OK");
    add(&mut a, "jobid", "40 days", "succeeded");
    expect(&mut a, late);
    add(&mut a, "jobid", "1 second", "failed");
    // A job that fails is not late.
    expect(&mut a, "OK");
    let failing = ["WARNING job crewsnow_ops monthly audit fleet 1 runs failed"];
    assert_eq!(found(&mut a, "Cron Failing"), failing);
    // A job of others that never ran may be new.
    run(&mut a, "SELECT cron.schedule('yearly', '0 0 1 1 *', 'SELECT 1')");
    expect(&mut a, "OK 1 without a run on record");
}

#[test]
fn jobs_that_a_role_does_not_see_are_skipped() {
    let Some((cluster, mut a)) = with_cron("health_cron_roles", "cron.log_run = off") else {
        return;
    };
    run(
        &mut a,
        "CREATE ROLE looker LOGIN; SELECT crewsnow_ops.grant_access('looker', 'reader');
         SELECT count(*) FROM crewsnow_ops.schedule_maintenance()",
    );
    let reason = "SELECT DISTINCT evidence FROM performance_health_check()
        WHERE metric LIKE 'Cron %'";
    assert_eq!(rows(&mut a, reason), ["cron.log_run is off, so no run is on record"]);
    let mut looker = cluster.connect_as("looker", "fleet");
    assert_eq!(rows(&mut looker, reason), ["schema cron cannot be used by looker"]);
    let others = "SELECT count(*) > 40 FROM performance_health_check()";
    assert_eq!(value(&mut looker, others), "t", "the other checks run");
    run(&mut a, "GRANT USAGE ON SCHEMA cron TO looker");
    assert_eq!(rows(&mut looker, reason), ["pg_cron hides the jobs of other roles from looker"]);
}

/// The advice of Cron Failing after a run on a server with these settings.
fn advice_after_a_run(name: &str, settings: &str) -> Option<(Cluster, String)> {
    let (cluster, mut a) = with_cron(name, settings)?;
    run(&mut a, "SELECT cron.schedule('orders', '* * * * *', 'SELECT 1')");
    let advice = "SELECT coalesce(max(recommendation), '') FROM performance_health_check()
        WHERE metric = 'Cron Failing' AND status = 'WARNING'";
    wait_for(&mut a, name, &format!("SELECT ({advice}) <> ''"));
    let advice = value(&mut a, advice);
    Some((cluster, advice))
}

#[test]
fn a_job_without_a_worker_slot_or_a_login_is_told_apart() {
    let Some((_cluster, advice)) =
        advice_after_a_run("health_cron_slots", "max_worker_processes = 2")
    else {
        return;
    };
    assert!(advice.contains("max_worker_processes"), "{advice}");
    let login = "cron.use_background_workers = off\ncron.host = 'localhost'";
    let Some((_cluster, advice)) = advice_after_a_run("health_cron_login", login) else { return };
    assert!(advice.contains("pg_hba.conf"), "{advice}");
}
