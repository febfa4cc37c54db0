//! Faults that are planted in backups: each is found and named, and its healthy twin is validated.

use crate::restore::{report, shop};
use crate::restore_backups::{
    base_backup, dump_to, expect_fault, expect_valid, flip, print, record, recorded_base_backup,
    recorded_dump, remove, restored, rivals_of_base, rivals_of_dump,
};
use harness::{Cluster, has_extension, must_run, run, value};
use postgres::Client;
use std::path::Path;
use std::process::Command;

/// The shop with a clerk, photos outside of their rows, and a collation with a version. `None`
/// where the server has no amcheck.
fn checked_shop(cluster: &Cluster) -> Option<Client> {
    let mut a = shop(cluster, "shop");
    if !has_extension(&mut a, "amcheck") {
        eprintln!("left out: this server has no amcheck");
        return None;
    }
    run(
        &mut a,
        "CREATE EXTENSION amcheck;
         CREATE ROLE clerk; GRANT SELECT, UPDATE ON line TO clerk;
         CREATE TABLE photo (id int PRIMARY KEY, name text, note text, data text);
         ALTER TABLE photo ALTER data SET STORAGE EXTERNAL;
         INSERT INTO photo SELECT n, 'name-' || n || '-', 'note-' || n || '-',
                repeat('pixel', 1000) || '-of-' || n || '-'
            FROM generate_series(1, 50) AS n;
         CREATE INDEX photo_name ON photo (name);
         CREATE COLLATION german (provider = icu, locale = 'de');
         CREATE TABLE guest (name text COLLATE german);
         CREATE INDEX guest_name ON guest (name);
         SELECT crewsnow_ops.sample_health()",
    );
    run(&mut a, "VACUUM (FREEZE)");
    run(&mut a, "CHECKPOINT");
    Some(a)
}

/// Faults of copies of the database, which are dumped in place of the backup.
const FAULTS_OF_DUMPS: &[(&str, &str, &str)] = &[
    (
        "missing row",
        "DELETE FROM line WHERE id = 77",
        "FAULT    4 content   content public.line: 1 lost",
    ),
    (
        "extra row",
        "INSERT INTO line VALUES (9000, 1, 1)",
        "FAULT    4 content   content public.line: 1 too many",
    ),
    (
        "lost sequence value",
        "ALTER SEQUENCE ticket RESTART",
        "FAULT    4 content   sequence value public.ticket: is behind",
    ),
    (
        "dropped policy",
        "DROP POLICY seen ON line",
        "FAULT    3 complete  policy seen on public.line: missing",
    ),
    (
        "lost grant",
        "REVOKE UPDATE ON line FROM clerk",
        "FAULT    3 complete  grants on relation public.line: differs in to clerk",
    ),
    (
        "materialized view without its rows",
        "REFRESH MATERIALIZED VIEW sums WITH NO DATA",
        "FAULT    3 complete  materialized view public.sums: differs in populated",
    ),
    (
        "foreign key that is not checked",
        "ALTER TABLE line DROP CONSTRAINT line_of_order_fkey,
            ADD CONSTRAINT line_of_order_fkey FOREIGN KEY (of_order)
            REFERENCES \"Ski Shop\".\"Order's\" NOT VALID",
        "FAULT    3 complete  foreign key line_of_order_fkey on public.line: differs in validity",
    ),
];

#[test]
fn faults_planted_in_dumps_are_found_and_named() {
    let cluster = Cluster::start("restore_dump_faults", "autovacuum = off");
    let Some(mut a) = checked_shop(&cluster) else { return };
    let path = recorded_dump(&mut a, &cluster, "shop", "c");
    expect_valid(&mut a, &path, "the dump without a fault");
    let whole = path.with_extension("whole");
    std::fs::rename(&path, &whole).expect("renamed");
    drop(restored(&cluster, &whole, "copy"));
    dump_to(&cluster, "copy", "c", &path);
    expect_valid(&mut a, &path, "the dump of a copy without a fault");
    let mut planted = Vec::new();
    for (fault, sql, line) in FAULTS_OF_DUMPS {
        run(&mut restored(&cluster, &whole, "copy"), sql);
        dump_to(&cluster, "copy", "c", &path);
        let rivals = rivals_of_dump(&cluster, &path);
        planted.push(expect_fault(&mut a, &path, fault, line, rivals));
    }
    print(&planted);
}

/// A truncated dump, one that is too old, and one of another time than its record says.
#[test]
fn truncated_and_stale_dumps_are_found_and_named() {
    let cluster = Cluster::start("restore_old_dumps", "autovacuum = off");
    let Some(mut a) = checked_shop(&cluster) else { return };
    let path = recorded_dump(&mut a, &cluster, "shop", "c");
    let whole = std::fs::read(&path).expect("the dump");
    std::fs::write(&path, &whole[..whole.len() * 3 / 4]).expect("truncated");
    let rivals = rivals_of_dump(&cluster, &path);
    let line = format!("FAULT    1 readable  backup {} is truncated", path.display());
    let mut planted = vec![expect_fault(&mut a, &path, "truncated dump", &line, rivals)];
    std::fs::write(&path, &whole).expect("whole again");
    expect_valid(&mut a, &path, "the whole dump");
    let age = |interval: &str| {
        format!(
            "UPDATE backup_log SET created_at = now() - interval '{interval}',
                completed_at = now() - interval '{interval}'"
        )
    };
    run(&mut a, &age("25 hours"));
    expect_valid(&mut a, &path, "a dump of last night");
    run(&mut a, &age("3 days"));
    let rivals = rivals_of_dump(&cluster, &path);
    let line = format!("FAULT    0 fresh     {}: the backup is 72 h old", path.display());
    planted.push(expect_fault(&mut a, &path, "stale backup", &line, rivals));
    // The record is of today, and the file is not.
    run(&mut a, "DELETE FROM backup_log; DELETE FROM line WHERE id = 77");
    run(&mut a, "INSERT INTO line SELECT n, 1, 1 FROM generate_series(9001, 9100) AS n");
    run(&mut a, "SELECT crewsnow_ops.sample_health()");
    record(&mut a, &path);
    let rivals = rivals_of_dump(&cluster, &path);
    let line = "FAULT    4 content   content public.line: 99 lost";
    planted.push(expect_fault(&mut a, &path, "old dump, recorded today", line, rivals));
    print(&planted);
}

/// Those who may change `backup_log` cannot make an old backup look fresh.
#[test]
fn a_stale_backup_whose_record_was_changed_is_named() {
    let cluster = Cluster::start("restore_changed_record", "autovacuum = off");
    let mut a = shop(&cluster, "shop");
    run(
        &mut a,
        "CREATE ROLE clerk LOGIN; SELECT crewsnow_ops.grant_access('clerk', 'operator');
         SELECT crewsnow_ops.sample_health()",
    );
    let mut clerk = cluster.connect_as("clerk", "shop");
    let refresh = "UPDATE backup_log SET created_at = now(), completed_at = now()";
    let path = recorded_dump(&mut a, &cluster, "shop", "c");
    run(&mut clerk, refresh);
    expect_valid(&mut a, &path, "a fresh dump");
    let named = |a: &mut Client, path: &Path, age: &str| {
        let report = report(a, path);
        let line = format!("FAULT    0 fresh     {}: the backup is {age}", path.display());
        assert!(report.contains(&line), "{line}\n{report}");
        assert!(report.ends_with("ISSUES DETECTED"), "{report}");
    };
    run(&mut a, "UPDATE crewsnow_ops.backup_manifests SET taken_at = now() - interval '3 days'");
    named(&mut a, &path, "72 h old by its manifest, 0 min by backup_log, and ");
    // Without a manifest its file tells the time, and the archive itself.
    run(&mut a, "DELETE FROM crewsnow_ops.backup_manifests");
    must_run(Command::new("touch").args(["-d", "3 days ago"]).arg(&path));
    named(&mut a, &path, "72 h old by the time of its file, 0 min by backup_log, and ");
    let mut archive = std::fs::read(&path).expect("the dump");
    // The year follows five numbers of a sign and four bytes, and what compresses the data.
    let numbers = if archive[6] >= 15 { 12 } else { 16 };
    archive[numbers + 26] -= 1;
    std::fs::write(&path, archive).expect("written");
    let report = report(&mut a, &path);
    let hours = report.split(" h old by the time that it holds").next().unwrap_or_default();
    let hours = hours.rsplit(' ').next().and_then(|hours| hours.parse::<i64>().ok());
    assert!(hours.is_some_and(|hours| (8_740..8_784).contains(&hours)), "{report}");
    let base = recorded_base_backup(&mut a, &cluster, "base", &[]);
    expect_valid(&mut a, &base, "a fresh base backup");
    let label = base.join("backup_label");
    let text = std::fs::read_to_string(&label).expect("backup_label");
    let year = text.split("START TIME: ").nth(1).and_then(|time| time.get(..4)).expect("a year");
    let older = format!("START TIME: {}", year.parse::<i32>().expect("a number") - 2);
    std::fs::write(&label, text.replace(&format!("START TIME: {year}"), &older)).expect("written");
    let report = self::report(&mut a, &base);
    assert!(report.contains(" h old by the time that it holds, and "), "{report}");
}

/// A place in the files of the source, and what is said of a bit that is flipped there.
struct Place {
    relation: &'static str,
    marker: &'static str,
    /// The faults of a flip in the backup, and of one in the source before the backup.
    faults: [&'static str; 2],
    line: &'static str,
}

const PLACES: &[Place] = &[
    Place {
        relation: "'photo_name'",
        marker: "name-33-",
        faults: ["bit flip in an index", "bit flip in an index, before the backup"],
        line: "FAULT    2 restores  index public.photo_name: is damaged",
    },
    Place {
        relation: "'photo'",
        marker: "note-33-",
        faults: ["bit flip in a heap page", "bit flip in a heap page, before the backup"],
        line: "FAULT    4 content   content public.photo: the same number of rows (50)",
    },
    Place {
        relation: "(SELECT reltoastrelid FROM pg_class WHERE oid = 'photo'::regclass)",
        marker: "-of-33-",
        faults: ["bit flip in TOAST", "bit flip in TOAST, before the backup"],
        line: "FAULT    4 content   content public.photo: the same number of rows (50)",
    },
];

#[test]
fn bits_flipped_in_base_backups_are_found_and_named() {
    let cluster = Cluster::start("restore_flips", "autovacuum = off");
    let Some(mut a) = checked_shop(&cluster) else { return };
    let has_checksums = value(&mut a, "SHOW data_checksums") == "on";
    let path = recorded_base_backup(&mut a, &cluster, "base", &[]);
    expect_valid(&mut a, &path, "the base backup without a fault");
    let mut planted = Vec::new();
    for Place { relation, marker, faults: [in_backup, before], line } in PLACES {
        let file = value(&mut a, &format!("SELECT pg_relation_filepath({relation})"));
        flip(&path.join(&file), marker);
        let rivals = rivals_of_base(&cluster, &path, "shop");
        planted.push(expect_fault(&mut a, &path, in_backup, line, rivals));
        flip(&path.join(&file), marker);
        // A server with checksums refuses to copy the page.
        if has_checksums {
            continue;
        }
        let own = cluster.scratch().join("data").join(&file);
        flip(&own, marker);
        let other = recorded_base_backup(&mut a, &cluster, "other", &[]);
        flip(&own, marker);
        let rivals = rivals_of_base(&cluster, &other, "shop");
        planted.push(expect_fault(&mut a, &other, before, line, rivals));
        remove(&other);
    }
    expect_valid(&mut a, &path, "the base backup with its bits flipped back");
    print(&planted);
}

#[test]
fn a_disabled_foreign_key_and_a_collation_version_are_found_in_base_backups() {
    let cluster = Cluster::start("restore_base_faults", "autovacuum = off");
    let Some(mut a) = checked_shop(&cluster) else { return };
    let mut other = cluster.connect("shop");
    let plants = [
        (
            "disabled foreign key",
            "ALTER TABLE line DISABLE TRIGGER ALL",
            "ALTER TABLE line ENABLE TRIGGER ALL",
            "FAULT    3 complete  table public.line: differs in disabled foreign key triggers",
        ),
        (
            "wrong collation version",
            "UPDATE pg_collation SET collversion = '1' WHERE collname = 'german'",
            "ALTER COLLATION german REFRESH VERSION",
            "FAULT    3 complete  collation version of collation public.german: version 1",
        ),
    ];
    let mut planted = Vec::new();
    for (fault, plant, heal, line) in plants {
        run(&mut a, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
        run(&mut other, plant);
        let path = base_backup(&cluster, "base", &[]);
        record(&mut a, &path);
        run(&mut a, "COMMIT");
        run(&mut other, heal);
        let rivals = rivals_of_base(&cluster, &path, "shop");
        planted.push(expect_fault(&mut a, &path, fault, line, rivals));
        let path = recorded_base_backup(&mut a, &cluster, "base", &[]);
        expect_valid(&mut a, &path, "the base backup after the repair");
    }
    print(&planted);
}
