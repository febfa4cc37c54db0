//! The schedule of maintenance with a real pg_cron, and the lines where there is none.

use crate::maintenance_windows::OPEN_NOW;
use harness::{Cluster, explain, has_extension, rows, run, sqlstate, value};
use postgres::Client;
use std::time::{Duration, Instant};

/// Settings of a server whose jobs are in database `database`.
pub(crate) fn cron_settings(database: &str) -> String {
    format!(
        "shared_preload_libraries = 'pg_cron'\ncron.database_name = '{database}'\n\
         cron.use_background_workers = on\nmax_worker_processes = 20\ntimezone = 'UTC'"
    )
}

/// A server whose pg_cron is in the database of the extension; `None` where there is no pg_cron.
pub(crate) fn with_cron(name: &str, settings: &str) -> Option<(Cluster, Client)> {
    let cluster = Cluster::start(name, "");
    let mut client = cluster.connect("postgres");
    let is_there = has_extension(&mut client, "pg_cron");
    let version = value(&mut client, "SHOW server_version_num");
    drop((client, cluster));
    if !is_there {
        assert!(!version.starts_with("15"), "pg_cron is missing: run dev/setup.sh");
        eprintln!("left out: this server has no pg_cron");
        return None;
    }
    let cluster = Cluster::start(name, &format!("{}\n{settings}", cron_settings("fleet")));
    let mut client = cluster.create_database("fleet");
    run(&mut client, "CREATE EXTENSION pg_cron");
    // It ended while there was no such database, and starts again after a second.
    let launcher = "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type LIKE 'pg_cron%'";
    wait_for(&mut client, "the launcher of pg_cron", launcher);
    Some((cluster, client))
}

/// Waits for at most two minutes: pg_cron starts jobs at the full minute.
pub(crate) fn wait_for(client: &mut Client, what: &str, sql: &str) {
    let end = Instant::now() + Duration::from_secs(130);
    while value(client, sql) != "t" {
        let details = "SELECT jobid, status, return_message FROM cron.job_run_details";
        assert!(Instant::now() < end, "{what}: {:?}", rows(client, details));
        std::thread::sleep(Duration::from_millis(500));
    }
}

const JOBS: &str = "SELECT j.jobname, j.schedule, j.database, j.username, j.active
    FROM cron.job AS j ORDER BY j.jobid";

#[test]
fn the_clock_runs_each_job_and_maintenance_once_in_a_window() {
    let Some((_cluster, mut a)) = with_cron("schedule_run", "") else { return };
    run(&mut a, OPEN_NOW);
    assert_eq!(
        rows(&mut a, "SELECT job, outcome FROM crewsnow_ops.schedule_maintenance()"),
        [
            "roll-up|scheduled",
            "samples|scheduled",
            "retention|scheduled",
            "weekly maintenance|scheduled",
            "monthly audit|scheduled",
            "history|scheduled",
        ]
    );
    assert_eq!(
        rows(&mut a, JOBS),
        [
            "crewsnow_ops roll-up fleet|* * * * *|fleet|postgres|t",
            "crewsnow_ops samples fleet|* * * * *|fleet|postgres|t",
            "crewsnow_ops retention fleet|23 * * * *|fleet|postgres|t",
            "crewsnow_ops weekly maintenance fleet|*/5 * * * *|fleet|postgres|t",
            "crewsnow_ops monthly audit fleet|7 3 1 * *|fleet|postgres|t",
            "crewsnow_ops history fleet|43 3 * * *|fleet|postgres|t",
        ]
    );
    // The jobs of longer periods run every minute here.
    run(&mut a, "SELECT cron.alter_job(jobid, schedule => '* * * * *') FROM cron.job");
    wait_for(
        &mut a,
        "all jobs run, and maintenance once",
        "SELECT count(DISTINCT jobid) FILTER (WHERE status = 'succeeded') = 6
             AND count(*) FILTER (WHERE jobid = 4) >= 2 FROM cron.job_run_details",
    );
    assert_eq!(
        rows(
            &mut a,
            "SELECT jobid, return_message FROM cron.job_run_details
                WHERE status <> 'succeeded' AND end_time IS NOT NULL"
        ),
        [""; 0],
        "no job fails"
    );
    let runs = "SELECT count(*) FROM crewsnow_ops.maintenance_runs WHERE step = 0";
    assert_eq!(value(&mut a, runs), "1");
    assert_eq!(value(&mut a, "SELECT crewsnow_ops.maintenance_is_due()"), "f");
    assert_eq!(value(&mut a, "SELECT count(*) > 0 FROM crewsnow_ops.health_samples"), "t");
    assert_eq!(value(&mut a, "SELECT count(*) > 0 FROM crewsnow_ops.rls_runs"), "t");
}

#[test]
fn scheduling_again_changes_only_what_differs_and_unscheduling_removes_all() {
    let Some((_cluster, mut a)) = with_cron("schedule_again", "") else { return };
    run(&mut a, "SELECT cron.schedule('crewsnow_ops of others', '0 0 1 1 *', 'SELECT 1')");
    run(&mut a, "SELECT count(*) FROM crewsnow_ops.schedule_maintenance()");
    run(
        &mut a,
        "SELECT cron.alter_job(jobid, schedule => '0 0 * * *') FROM cron.job
         WHERE jobname LIKE '% samples %';
         SELECT cron.alter_job(jobid, active => false) FROM cron.job
         WHERE jobname LIKE '% retention %'",
    );
    let outcomes = rows(
        &mut a,
        "SELECT job, split_part(outcome, ';', 1) FROM crewsnow_ops.schedule_maintenance()",
    );
    assert_eq!(outcomes[..3], ["roll-up|unchanged", "samples|changed", "retention|switched off"]);
    assert_eq!(value(&mut a, "SELECT count(*) FROM cron.job"), "7");
    let schedule = "SELECT schedule FROM cron.job WHERE jobname LIKE '% samples %'";
    assert_eq!(value(&mut a, schedule), "* * * * *");
    let removed = rows(&mut a, "SELECT outcome FROM crewsnow_ops.unschedule_maintenance()");
    assert_eq!(removed, ["removed"; 6]);
    assert_eq!(rows(&mut a, "SELECT jobname FROM cron.job"), ["crewsnow_ops of others"]);
    assert_eq!(value(&mut a, "SELECT count(*) FROM crewsnow_ops.scheduled_jobs"), "0");
    let again = "SELECT * FROM crewsnow_ops.unschedule_maintenance()";
    assert!(rows(&mut a, again).is_empty(), "unscheduled twice");
}

#[test]
fn jobs_are_those_of_the_role_that_schedules() {
    let Some((cluster, mut a)) = with_cron("schedule_roles", "") else { return };
    run(
        &mut a,
        "CREATE ROLE keeper LOGIN; CREATE ROLE looker LOGIN;
         SELECT crewsnow_ops.grant_access('keeper', 'admin'),
             crewsnow_ops.grant_access('looker', 'operator')",
    );
    let schedule = "SELECT count(*) FROM crewsnow_ops.schedule_maintenance()";
    assert_eq!(sqlstate(&mut cluster.connect_as("looker", "fleet"), schedule), "42501");
    let mut keeper = cluster.connect_as("keeper", "fleet");
    let refused = explain(&keeper.batch_execute(schedule).expect_err("no privilege"));
    assert!(refused.contains("GRANT USAGE ON SCHEMA cron TO keeper;"), "{refused}");
    run(&mut a, "GRANT USAGE ON SCHEMA cron TO keeper");
    assert_eq!(value(&mut keeper, schedule), "6");
    assert_eq!(rows(&mut a, "SELECT DISTINCT username FROM cron.job"), ["keeper"]);
    let refused = explain(&a.batch_execute(schedule).expect_err("another schedule"));
    assert!(refused.starts_with("42710") && refused.contains("keeper"), "{refused}");
    let left = rows(&mut a, "SELECT outcome, line FROM crewsnow_ops.unschedule_maintenance()");
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].starts_with("left: jobs of role keeper|SET ROLE keeper;"), "{left:?}");
    let (_, line) = left[0].split_once('|').expect("a line");
    run(&mut a, &format!("SET search_path = ''; {line}; RESET search_path"));
    assert_eq!(value(&mut a, schedule), "6");
    run(&mut a, "BEGIN READ ONLY");
    assert_eq!(sqlstate(&mut a, schedule), "25006");
    run(&mut a, "ROLLBACK");
}

#[test]
fn two_sessions_that_schedule_at_once_do_not_both_register() {
    let Some((cluster, mut a)) = with_cron("schedule_twice", "") else { return };
    let schedule = "SELECT count(*) FROM crewsnow_ops.schedule_maintenance()";
    let mut b = cluster.connect("fleet");
    run(&mut a, &format!("BEGIN; {schedule}"));
    for other in [schedule, "SELECT * FROM crewsnow_ops.unschedule_maintenance()"] {
        let refused = explain(&b.batch_execute(other).expect_err("two at once"));
        let pid = value(&mut a, "SELECT pg_backend_pid()");
        assert!(refused.starts_with("55006") && refused.contains(&pid), "{refused}");
    }
    run(&mut a, "COMMIT");
    assert_eq!(value(&mut b, schedule), "6");
    assert_eq!(value(&mut a, "SELECT count(*) FROM cron.job"), "6");
}

#[test]
fn another_database_gets_the_statements_to_run_where_pg_cron_is() {
    let Some((cluster, mut a)) = with_cron("schedule_elsewhere", "") else { return };
    cluster.create_empty_database("\"o'shop\"");
    let mut b = cluster.connect("o'shop");
    run(&mut b, "CREATE EXTENSION crewsnow_ops");
    let lines = rows(
        &mut b,
        "SELECT DISTINCT outcome FROM crewsnow_ops.schedule_maintenance()
         UNION ALL SELECT line FROM crewsnow_ops.schedule_maintenance()",
    );
    assert_eq!(lines[0], "run the line in database fleet");
    for line in &lines[1..] {
        run(&mut a, &format!("SET search_path = ''; {line} RESET search_path"));
    }
    let jobs = "SELECT count(*), count(DISTINCT jobname) FROM cron.job WHERE database = 'o''shop'";
    assert_eq!(rows(&mut a, jobs), ["5|5"]);
    for line in rows(&mut b, "SELECT line FROM crewsnow_ops.unschedule_maintenance()") {
        run(&mut a, &format!("SET search_path = ''; {line} RESET search_path"));
    }
    assert_eq!(rows(&mut a, jobs), ["0|0"]);
}

/// The line for a job and a clock.
fn line(client: &mut Client, job: &str, clock: &str) -> String {
    let sql = format!(
        "SELECT line FROM crewsnow_ops.schedule_maintenance()
         WHERE job = '{job}' AND outcome = 'line for {clock}'"
    );
    value(client, &sql)
}

#[test]
fn without_pg_cron_the_lines_of_cron_run_as_they_are() {
    let cluster = Cluster::start("schedule_lines", "");
    cluster.create_empty_database("\"50% o'clock\"");
    let mut a = cluster.connect("50% o'clock");
    run(&mut a, "CREATE EXTENSION crewsnow_ops");
    let crontab = line(&mut a, "samples", "crontab");
    let command = crontab.strip_prefix("* * * * * ").expect("five fields");
    // As cron does: `\%` is a percent sign, a plain one would end the command.
    assert!(!command.replace("\\%", "").contains('%'), "{command}");
    let shell = |command: &str| {
        let mut shell = cluster.client_program("sh", "postgres");
        harness::must_run(shell.args(["-c", command]))
    };
    let samples = "SELECT count(*) FROM crewsnow_ops.health_samples";
    let before: i64 = value(&mut a, samples).parse().expect("a number");
    shell(&command.replace("\\%", "%"));
    let after: i64 = value(&mut a, samples).parse().expect("a number");
    assert_eq!(after, before + 1);
    // The units are files here, and systemd does not run.
    let systemd = line(&mut a, "samples", "systemd");
    let folder = cluster.scratch().display().to_string();
    let (write, start) = systemd.split_once("systemctl ").expect("a start");
    assert_eq!(
        start,
        "daemon-reload; systemctl enable --now crewsnow_ops-50_25_20o_27clock-samples.timer"
    );
    shell(&write.replace("/etc/systemd/system", &folder));
    let unit = |kind: &str| {
        let path = cluster.scratch().join(format!("crewsnow_ops-50_25_20o_27clock-samples.{kind}"));
        std::fs::read_to_string(path).expect("the unit")
    };
    assert!(unit("timer").contains("\nOnCalendar=*-*-* *:*:30\n"), "{}", unit("timer"));
    let service = unit("service");
    assert!(service.contains("\nExecStart=/usr/bin/psql -XqAt -p 5432 "), "{service}");
    assert!(service.contains("dbname='50%% o"), "{service}");
    let removal = "SELECT line FROM crewsnow_ops.unschedule_maintenance() WHERE job = 'samples'";
    let removal = value(&mut a, removal);
    let stop = "systemctl disable --now crewsnow_ops-50_25_20o_27clock-samples.timer; rm -f ";
    assert!(removal.starts_with(stop), "{removal}");
}

#[test]
fn maintenance_is_due_once_in_each_window() {
    let cluster = Cluster::start("schedule_due", "timezone = 'Asia/Kathmandu'");
    let mut a = cluster.create_database("due");
    let due = "SELECT crewsnow_ops.maintenance_is_due()";
    let sunday = "SELECT extract(isodow FROM t) = 7 AND extract(hour FROM t) IN (2, 3)
        FROM (SELECT now() AT TIME ZONE 'UTC' AS t) AS c";
    assert_eq!(value(&mut a, due), value(&mut a, sunday), "without windows");
    run(&mut a, OPEN_NOW);
    assert_eq!(value(&mut a, due), "t");
    let ran = |a: &mut Client, ago: &str| {
        run(
            a,
            &format!(
                "DELETE FROM crewsnow_ops.maintenance_runs;
                 INSERT INTO crewsnow_ops.maintenance_runs
                     (run_id, step, task, verdict, started_at, run_by, leader_pid)
                 VALUES (gen_random_uuid(), 0, 'run', 'FAILED', now() - interval '{ago}', 'x', 1)"
            ),
        );
        value(a, due)
    };
    assert_eq!(ran(&mut a, "70 minutes"), "t", "a run before the window");
    assert_eq!(ran(&mut a, "5 minutes"), "f", "a run in the window");
    run(&mut a, "DELETE FROM crewsnow_ops.maintenance_runs");
    run(&mut a, "UPDATE crewsnow_ops.maintenance_windows SET is_cancelled = true");
    assert_eq!(value(&mut a, due), "f", "a cancelled window");
}
