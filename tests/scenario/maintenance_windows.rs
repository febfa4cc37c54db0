//! Maintenance windows: both DST switches against an independent implementation, refused zones,
//! and announcements.

use harness::{Cluster, both, explain, rows, run, sqlstate, value};
use jiff::civil::{Date, Time, Weekday, date};
use jiff::tz::TimeZone;
use postgres::Client;

const ZONES: [&str; 3] = ["Europe/Paris", "America/New_York", "Australia/Lord_Howe"];
/// Starts that the switches of these zones skip or repeat, and one over midnight.
const STARTS: [&str; 5] = ["01:30", "01:45", "02:00", "02:30", "23:30"];
const HOURS: i64 = 2;

fn sundays() -> Vec<Date> {
    let days = date(2026, 1, 1).series(jiff::Span::new().days(1));
    days.take_while(|day| day.year() < 2028)
        .filter(|day| day.weekday() == Weekday::Sunday)
        .collect()
}

/// Start and end in seconds since 1970. A skipped time is later by the gap; of a repeated time the
/// second counts.
fn opening(zone: &TimeZone, day: Date, start: &str) -> (i64, i64) {
    let local = day.to_datetime(start.parse::<Time>().expect("a time"));
    let start = zone.to_ambiguous_timestamp(local).later().expect("a time").as_second();
    (start, start + HOURS * 3_600)
}

fn add(client: &mut Client, name: &str, zone: &str, start: &str) {
    run(
        client,
        &format!(
            "INSERT INTO crewsnow_ops.maintenance_windows
                 (name, weekday, local_start, duration, time_zone)
             VALUES ('{name}', 'sunday', '{start}', '{HOURS} hours', '{zone}')"
        ),
    );
}

#[test]
fn windows_open_as_an_independent_calendar_computes() {
    let cluster = Cluster::start("windows_dst", "");
    let mut a = cluster.create_database("dst");
    run(&mut a, "SET TimeZone = 'Asia/Kathmandu'");
    let mut expected = Vec::new();
    for zone in ZONES {
        let tz = TimeZone::get(zone).expect("the zone");
        for start in STARTS {
            let name = format!("{zone} {start}");
            add(&mut a, &name, zone, start);
            for day in sundays() {
                let (start, end) = opening(&tz, day, start);
                expected.push(format!("{name}|{start}|{end}"));
            }
        }
    }
    expected.sort();
    let found = rows(
        &mut a,
        "SELECT name, extract(epoch FROM starts_at)::bigint, extract(epoch FROM ends_at)::bigint
         FROM crewsnow_ops.maintenance_occurrences('2025-12-31 00:00Z', '2028-01-05 00:00Z')
         WHERE local_date BETWEEN '2026-01-01' AND '2027-12-31'
         ORDER BY (name || '|' || extract(epoch FROM starts_at)::bigint) COLLATE \"C\"",
    );
    assert_eq!(found.len(), 3 * 5 * 104);
    assert_eq!(found, expected);
}

#[test]
fn a_window_includes_its_start_and_excludes_its_end() {
    let cluster = Cluster::start("windows_edges", "");
    for (index, zone) in ZONES.into_iter().enumerate() {
        let mut a = cluster.create_database(&format!("edges_{index}"));
        add(&mut a, "sunday night", zone, "02:00");
        let tz = TimeZone::get(zone).expect("the zone");
        let mut probes = Vec::new();
        for day in sundays() {
            let (start, end) = opening(&tz, day, "02:00");
            for (moment, offset, is_open) in
                [(start, -1, false), (start, 0, true), (end, -1, true), (end, 0, false)]
            {
                probes.push(format!("({moment}, {offset}, {is_open})"));
            }
        }
        let wrong = rows(
            &mut a,
            &format!(
                "SELECT p.second, p.microseconds
                 FROM (VALUES {}) AS p (second, microseconds, is_open)
                 WHERE crewsnow_ops.in_maintenance_window(to_timestamp(p.second)
                     + p.microseconds * interval '1 microsecond') <> p.is_open",
                probes.join(", ")
            ),
        );
        assert!(wrong.is_empty(), "{zone}: {wrong:?}");
    }
}

#[test]
fn a_window_is_open_for_the_whole_of_its_duration() {
    let cluster = Cluster::start("windows_open", "timezone = 'UTC'");
    let mut a = cluster.create_database("open");
    let is_open = |a: &mut Client, at: &str| {
        value(a, &format!("SELECT crewsnow_ops.in_maintenance_window({at})"))
    };
    assert_eq!(is_open(&mut a, ""), "f", "without windows");
    assert_eq!(is_open(&mut a, "NULL"), "", "NULL");
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.maintenance_windows
             (name, weekday, on_date, local_start, duration, time_zone)
         VALUES ('long', 'fri', NULL, '22:00', '3 days', 'Europe/Berlin'),
             ('move', NULL, '2031-05-06', '23:00', '30 hours', 'Asia/Tokyo')",
    );
    for (at, open) in [
        ("2030-01-04 20:59:59.999999+00", "f"),
        ("2030-01-04 21:00+00", "t"),
        ("2030-01-07 20:59:59+00", "t"),
        ("2030-01-07 21:00+00", "f"),
        ("2031-05-06 14:00+00", "t"),
        ("2031-05-07 19:59:59+00", "t"),
        ("2031-05-07 20:00+00", "f"),
        ("infinity", "f"),
        ("-infinity", "f"),
        ("294276-12-31 23:59:59+00", "f"),
        ("4713-01-01 00:00+00 BC", "f"),
    ] {
        assert_eq!(is_open(&mut a, &format!("'{at}'")), open, "{at}");
    }
    run(
        &mut a,
        "UPDATE crewsnow_ops.maintenance_windows SET cancelled_dates = '{2030-01-04}'
         WHERE name = 'long';
         UPDATE crewsnow_ops.maintenance_windows SET is_cancelled = true WHERE name = 'move'",
    );
    assert_eq!(is_open(&mut a, "'2030-01-05 12:00+00'"), "f", "a cancelled date");
    assert_eq!(is_open(&mut a, "'2030-01-12 12:00+00'"), "t", "the week after");
    assert_eq!(is_open(&mut a, "'2031-05-06 14:00+00'"), "f", "a cancelled window");
}

/// A window that is open now: it began at the full minute an hour ago.
pub(crate) const OPEN_NOW: &str = "INSERT INTO crewsnow_ops.maintenance_windows
        (name, on_date, local_start, duration, time_zone)
    SELECT 'now', l.start::date, l.start::time, '2 hours', 'America/New_York'
    FROM (SELECT date_trunc('minute', now() - interval '1 hour')
        AT TIME ZONE 'America/New_York') AS l (start)";

#[test]
fn the_next_start_of_each_window_is_listed() {
    let cluster = Cluster::start("windows_next", "timezone = 'UTC'");
    let mut a = cluster.create_database("next");
    run(&mut a, OPEN_NOW);
    add(&mut a, "weekly", "Europe/Paris", "02:00");
    add(&mut a, "stopped", "Europe/Paris", "03:00");
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.maintenance_windows
             (name, on_date, local_start, duration, time_zone)
         VALUES ('past', '2020-01-01', '02:00', '1 hour', 'UTC'),
             ('far', '2190-01-01', '02:00', '1 hour', 'UTC');
         UPDATE crewsnow_ops.maintenance_windows SET is_cancelled = true WHERE name = 'stopped'",
    );
    assert_eq!(
        rows(
            &mut a,
            "SELECT name, state, open_until = date_trunc('minute', open_until)
                     AND open_until BETWEEN now() + interval '58 minutes' AND now()
                         + interval '1 hour',
                 next_start > now() AND next_start <= now() + interval '8 days',
                 next_end - next_start, to_char(next_start AT TIME ZONE time_zone, 'Dy HH24:MI')
             FROM crewsnow_ops.next_maintenance"
        ),
        [
            "now|open|t|NULL|NULL|NULL",
            "weekly|planned|NULL|t|02:00:00|Sun 02:00",
            "far|planned|NULL|f|01:00:00|Fri 02:00",
            "past|over|NULL|NULL|NULL|NULL",
            "stopped|cancelled|NULL|NULL|NULL|NULL",
        ]
    );
    assert_eq!(value(&mut a, "SELECT crewsnow_ops.in_maintenance_window()"), "t");
}

/// The error of a statement, with its HINT.
fn refusal(client: &mut Client, sql: &str) -> (String, String) {
    let error = client.batch_execute(sql).expect_err(sql);
    let hint = error.as_db_error().and_then(|e| e.hint()).unwrap_or_default().to_owned();
    (explain(&error), hint)
}

#[test]
fn an_abbreviation_is_refused_and_the_hint_stores_the_window() {
    let cluster = Cluster::start("windows_zones", "");
    let mut a = cluster.create_database("zones");
    for (zone, instead) in [
        ("CET", "Europe/Paris"),
        ("cest", "Europe/Paris"),
        ("EST", "America/New_York"),
        ("PST", "America/Los_Angeles"),
        ("WET", "Europe/Lisbon"),
        ("Europe/Pariss", "Europe/Paris"),
        ("lord_howe", "Australia/Lord_Howe"),
        ("posix/Europe/Paris", "Europe/Paris"),
    ] {
        let insert = format!(
            "INSERT INTO crewsnow_ops.maintenance_windows
                 (name, weekday, local_start, duration, time_zone)
             VALUES ('it''s {zone}', 'Sunday', '02:00', '2 hours', '{zone}')"
        );
        let (error, hint) = refusal(&mut a, &insert);
        assert!(error.starts_with("22023") && error.contains(instead), "{error}");
        run(&mut a, &format!("SET search_path = ''; {hint} RESET search_path"));
        let stored = format!(
            "SELECT time_zone || ' ' || weekday FROM crewsnow_ops.maintenance_windows
             WHERE name = 'it''s {zone}'"
        );
        assert_eq!(value(&mut a, &stored), format!("{instead} sunday"));
    }
    let update = "UPDATE crewsnow_ops.maintenance_windows SET time_zone = 'EET'
        WHERE name = 'it''s CET'";
    let (_, hint) = refusal(&mut a, update);
    assert!(hint.starts_with("UPDATE") && hint.contains("Europe/Athens"), "{hint}");
    run(&mut a, &hint);
    for zone in ["+02", "UTC+2", "Foo5Bar", "", "localtime", "Mars/Olympus"] {
        let insert = format!(
            "INSERT INTO crewsnow_ops.maintenance_windows
                 (name, weekday, local_start, duration, time_zone)
             VALUES ('odd', 'sunday', '02:00', '2 hours', '{zone}')"
        );
        let (error, hint) = refusal(&mut a, &insert);
        assert!(error.starts_with("22023"), "{error}");
        run(&mut a, &hint);
    }
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.maintenance_windows
             (name, on_date, local_start, duration, time_zone)
         VALUES ('plain', '2030-01-01', '02:00', '2 hours', 'utc')",
    );
}

#[test]
fn a_window_without_sense_is_refused() {
    let cluster = Cluster::start("windows_refused", "");
    let mut a = cluster.create_database("refused");
    for (columns, values, state) in [
        ("weekday", "'someday'", "22023"),
        ("weekday", "NULL", "22023"),
        ("weekday, on_date", "'sunday', '2030-01-01'", "22023"),
        ("on_date", "'infinity'", "23514"),
        ("on_date", "'0044-03-15'", "23514"),
        ("weekday, duration", "'sunday', '0'", "23514"),
        ("weekday, duration", "'sunday', '-1 hour'", "23514"),
        ("weekday, duration", "'sunday', '8 days'", "23514"),
        ("on_date, duration", "'2030-01-01', '1 year'", "23514"),
        ("weekday, name", "'sunday', ''", "23514"),
        ("weekday, time_zone", "'sunday', NULL", "23502"),
        ("weekday, cancelled_dates", "'sunday', '{NULL}'", "23514"),
    ] {
        let given: Vec<_> = columns.split(", ").collect();
        let mut names = columns.to_owned();
        let mut all = values.to_owned();
        for (name, default) in [
            ("name", "'w'"),
            ("local_start", "'02:00'"),
            ("duration", "'2 hours'"),
            ("time_zone", "'Europe/Paris'"),
        ] {
            if !given.contains(&name) {
                names += &format!(", {name}");
                all += &format!(", {default}");
            }
        }
        let insert =
            format!("INSERT INTO crewsnow_ops.maintenance_windows ({names}) VALUES ({all})");
        assert_eq!(sqlstate(&mut a, &insert), state, "{insert}");
    }
    let select = "SELECT crewsnow_ops.maintenance_calendar(0)";
    assert_eq!(sqlstate(&mut a, select), "22023");
    assert_eq!(sqlstate(&mut a, "SELECT crewsnow_ops.maintenance_window_is_valid()"), "39P01");
}

/// The values of a property in a calendar, unfolded.
fn property(calendar: &str, name: &str) -> Vec<String> {
    let unfolded = calendar.replace("\r\n ", "");
    let lines = unfolded.split("\r\n");
    lines.filter_map(|line| line.strip_prefix(&format!("{name}:")).map(str::to_owned)).collect()
}

#[test]
fn a_moved_window_keeps_its_events_in_calendars() {
    let cluster = Cluster::start("windows_calendar", "timezone = 'UTC'");
    let mut a = cluster.create_database("calendar");
    add(&mut a, "weekly", "Europe/Paris", "02:00");
    run(
        &mut a,
        "UPDATE crewsnow_ops.maintenance_windows
         SET summary = repeat('Été; ', 30) || E'\\nEND:VCALENDAR'",
    );
    let calendar = |a: &mut Client| value(a, "SELECT crewsnow_ops.maintenance_calendar(4)");
    let before = calendar(&mut a);
    assert!(before.split("\r\n").all(|line| line.len() <= 75), "{before}");
    assert_eq!(before.matches("\r\nEND:VCALENDAR\r\n").count(), 1, "{before}");
    let (uids, starts) = (property(&before, "UID"), property(&before, "DTSTART"));
    assert!(uids.len() >= 4 && property(&before, "SEQUENCE").iter().all(|n| n == "1"), "{before}");
    assert_eq!(
        starts[..3],
        rows(
            &mut a,
            "SELECT to_char(starts_at, 'YYYYMMDD\"T\"HH24MISS\"Z\"')
             FROM crewsnow_ops.maintenance_occurrences(now(), now() + interval '4 weeks') LIMIT 3"
        )
    );
    run(
        &mut a,
        "UPDATE crewsnow_ops.maintenance_windows
         SET local_start = '03:00', window_id = gen_random_uuid(), revision = 7,
             cancelled_dates = ARRAY(SELECT local_date
                 FROM crewsnow_ops.maintenance_occurrences(now(), now() + interval '2 weeks')
                 OFFSET 1 LIMIT 1)",
    );
    let after = calendar(&mut a);
    assert_eq!(property(&after, "UID")[..3], uids[..3], "{after}");
    assert!(property(&after, "SEQUENCE").iter().all(|n| n == "2"), "{after}");
    assert_ne!(property(&after, "DTSTART")[..3], starts[..3]);
    let states = property(&after, "STATUS");
    assert_eq!(states[..3], ["CONFIRMED", "CANCELLED", "CONFIRMED"]);
    let text = value(&mut a, "SELECT crewsnow_ops.maintenance_announcement()");
    assert!(text.contains("03:00 to 05:00 (Europe/Paris)"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("CANCELLED: ")).count(), 1, "{text}");
    run(&mut a, "DELETE FROM crewsnow_ops.maintenance_windows");
    assert_eq!(
        value(&mut a, "SELECT crewsnow_ops.maintenance_announcement()"),
        "No maintenance is planned in the next 4 weeks."
    );
}

#[test]
fn a_role_that_may_not_read_windows_is_bound_by_them() {
    let cluster = Cluster::start("windows_bound", "");
    let mut a = cluster.create_database("bound");
    run(
        &mut a,
        "CREATE ROLE runner LOGIN; GRANT USAGE ON SCHEMA crewsnow_ops TO runner;
         GRANT EXECUTE ON FUNCTION run_performance_maintenance() TO runner",
    );
    add(&mut a, "stopped", "Europe/Paris", "02:00");
    run(&mut a, "UPDATE crewsnow_ops.maintenance_windows SET is_cancelled = true");
    let mut runner = cluster.connect_as("runner", "bound");
    let windows = "SELECT count(*) FROM crewsnow_ops.maintenance_windows";
    assert_eq!(sqlstate(&mut runner, windows), "42501");
    let report = value(&mut runner, "SELECT run_performance_maintenance()");
    assert!(report.contains("no maintenance window is open; no window opens"), "{report}");
}

#[test]
fn readers_see_windows_and_admins_change_them() {
    let cluster = Cluster::start("windows_access", "");
    let mut a = cluster.create_database("access");
    run(
        &mut a,
        "CREATE ROLE looker LOGIN; CREATE ROLE keeper LOGIN;
         SELECT crewsnow_ops.grant_access('looker', 'operator'),
             crewsnow_ops.grant_access('keeper', 'admin')",
    );
    let mut keeper = cluster.connect_as("keeper", "access");
    add(&mut keeper, "weekly", "Europe/Paris", "02:00");
    let mut looker = cluster.connect_as("looker", "access");
    for sql in [
        "SELECT name FROM crewsnow_ops.next_maintenance",
        "SELECT name FROM crewsnow_ops.maintenance_windows WHERE changed_by = 'keeper'",
        "SELECT 'weekly' WHERE crewsnow_ops.in_maintenance_window() IS NOT NULL
             AND crewsnow_ops.maintenance_calendar() LIKE '%SEQUENCE:0%'",
    ] {
        assert_eq!(value(&mut looker, sql), "weekly", "{sql}");
    }
    for sql in [
        "UPDATE crewsnow_ops.maintenance_windows SET is_cancelled = true",
        "DELETE FROM crewsnow_ops.maintenance_windows",
    ] {
        assert_eq!(sqlstate(&mut looker, sql), "42501", "{sql}");
    }
}

#[test]
fn a_restored_window_keeps_its_identity_and_its_count_of_changes() {
    let cluster = Cluster::start("windows_dump", "");
    let mut a = cluster.create_database("original");
    add(&mut a, "weekly", "Europe/Paris", "02:00");
    run(&mut a, "UPDATE crewsnow_ops.maintenance_windows SET duration = '90 minutes'");
    cluster.create_empty_database("copy");
    let mut restore = cluster.client_program("bash", "original");
    let output = restore.args(["-c", "pg_dump | psql -qX -v ON_ERROR_STOP=1 copy"]).output();
    let output = output.expect("bash runs");
    assert!(output.status.success(), "{}", both(&output));
    let sql = "SELECT w::text FROM crewsnow_ops.maintenance_windows AS w WHERE revision = 1";
    assert_eq!(value(&mut cluster.connect("copy"), sql), value(&mut a, sql));
}
