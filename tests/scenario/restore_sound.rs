//! Sound backups of databases of many shapes: none gives a fault.

use crate::restore::report;
use crate::restore_backups::{recorded_base_backup, recorded_dump, remove};
use harness::{Cluster, run, value};
use postgres::Client;

/// The name of a database, the format of its dump, and its content.
struct Shape {
    name: &'static str,
    format: &'static str,
    sql: &'static str,
}

fn shapes() -> Vec<Shape> {
    let text = include_str!("restore_sound.sql");
    let shape = |part: &'static str| {
        let (head, sql) = part.split_once('\n').expect("a line of the shape");
        let (format, name) = head.split_once(' ').expect("a format and a name");
        Shape { name, format, sql }
    };
    text.split("\n-- shape ").skip(1).map(shape).collect()
}

/// Makes a database of this shape.
fn make(cluster: &Cluster, shape: &Shape) -> Client {
    cluster.create_empty_database(shape.name);
    let quoted = shape.name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    let name = quoted.map_or(shape.name.to_owned(), |name| name.replace("\"\"", "\""));
    let mut a = cluster.connect(&name);
    run(&mut a, "CREATE EXTENSION crewsnow_ops");
    run(&mut a, shape.sql);
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    a
}

/// Adds a report with a fault to those of false alarms, and prints the parts that were not tested.
fn judge(report: &str, of: &str, alarms: &mut String) {
    if !report.ends_with("VALIDATED") || report.contains("\nFAULT") {
        *alarms += &format!("{of}\n{report}\n");
    }
    for line in report
        .lines()
        .filter(|line| line.starts_with("SKIPPED  3") || line.starts_with("SKIPPED  4"))
    {
        println!("{of}: {line}");
    }
}

/// A dump in the format of the shape, and a fresh dump.
#[test]
fn sound_dumps_of_every_shape_are_validated() {
    let cluster = Cluster::start("restore_sound", "autovacuum = off");
    let mut alarms = String::new();
    for shape in shapes() {
        let mut a = make(&cluster, &shape);
        let database = value(&mut a, "SELECT current_database()");
        // A plain dump cannot be restored in steps.
        let trusts = if shape.format.starts_with('p') { "on" } else { "off" };
        run(&mut a, &format!("SET crewsnow_ops.restore_trusts_owners = {trusts}"));
        let path = recorded_dump(&mut a, &cluster, &database, shape.format);
        let of = format!("{} {}", shape.name, shape.format);
        judge(&report(&mut a, &path), &of, &mut alarms);
        remove(&path);
        run(&mut a, "DELETE FROM backup_log");
        let fresh = value(&mut a, "SELECT test_backup_restore_procedure()");
        judge(&fresh, &format!("{} fresh", shape.name), &mut alarms);
    }
    assert!(alarms.is_empty(), "{alarms}");
}

#[test]
fn sound_base_backups_of_every_format_are_validated() {
    let cluster = Cluster::start("restore_sound_base", "autovacuum = off");
    // Each base backup has all of these databases, so the time grows with their square.
    let shapes = shapes();
    let mut sessions: Vec<_> =
        shapes.iter().step_by(3).map(|shape| make(&cluster, shape)).collect();
    let mut alarms = String::new();
    for (number, a) in sessions.iter_mut().enumerate() {
        let arguments: &[&str] = match number % 3 {
            0 => &[],
            1 => &["--format=tar"],
            _ => &["--format=tar", "--gzip"],
        };
        let path = recorded_base_backup(a, &cluster, "base", arguments);
        judge(&report(a, &path), &format!("base backup {number}"), &mut alarms);
        remove(&path);
    }
    assert!(alarms.is_empty(), "{alarms}");
}
