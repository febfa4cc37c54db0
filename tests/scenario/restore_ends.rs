//! A restore test that is cut short at any point leaves the source as it was, and nothing behind.

use crate::replication::wait_until;
use crate::restore::{REMAINS, shop};
use harness::random::Random;
use harness::{Cluster, rows, run, value};
use postgres::{Client, NoTls};
use std::process::Command;
use std::time::{Duration, Instant};

const TEST: &str = "SELECT test_backup_restore_procedure()";
const PROCESSES: &str = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
    AND (backend_type = 'crewsnow_ops worker'
        OR application_name ~ '^(pg_dump|pg_restore|crewsnow)')";

/// The content of the application's tables.
fn checksum(a: &mut Client) -> String {
    let sql = "SELECT concat_ws(' ',
        (SELECT sum(hashtext(o::text)::bigint) FROM \"Ski Shop\".\"Order's\" AS o),
        (SELECT sum(hashtext(l::text)::bigint) FROM line AS l),
        (SELECT last_value FROM ticket), (SELECT count(*) FROM pg_class), (SELECT count(*) FROM
        feature_flags))";
    value(a, sql)
}

/// How long a whole test takes here.
fn whole(a: &mut Client) -> usize {
    let mut times = Vec::new();
    for _ in 0..3 {
        let started = Instant::now();
        let report = value(a, TEST);
        assert!(report.ends_with("VALIDATED"), "{report}");
        times.push(started.elapsed().as_millis().max(100) as usize);
    }
    times.into_iter().min().unwrap_or(100)
}

#[test]
fn a_cancelled_or_terminated_test_leaves_nothing_behind() {
    let cluster = Cluster::start("restore_cuts", "fsync = off\nautovacuum = off");
    let mut a = shop(&cluster, "shop");
    let (whole, before) = (whole(&mut a), checksum(&mut a));
    let mut random = Random(17);
    let mut cut = 0;
    for number in 0..30 {
        let mut session = cluster.connect("shop");
        let pid = value(&mut session, "SELECT pg_backend_pid()");
        let cancel = session.cancel_token();
        if number % 3 == 0 {
            run(&mut session, &format!("SET statement_timeout = {}", 1 + random.below(whole)));
        }
        let session = std::thread::spawn(move || session.batch_execute(TEST).is_err());
        if number % 3 != 0 {
            std::thread::sleep(Duration::from_millis(random.below(whole) as u64));
        }
        match number % 3 {
            1 => cancel.cancel_query(NoTls).expect("a cancel"),
            2 => run(&mut a, &format!("SELECT pg_terminate_backend({pid})")),
            _ => {}
        }
        cut += usize::from(session.join().expect("the end of the session"));
        let ended = Instant::now();
        wait_until("no process", || value(&mut a, PROCESSES) == "0");
        wait_until("nothing remains", || rows(&mut a, REMAINS).is_empty());
        assert!(ended.elapsed() < Duration::from_secs(10), "{:?}", ended.elapsed());
    }
    assert!(cut > 15, "only {cut} tests were cut short");
    assert_eq!(checksum(&mut a), before);
    let report = value(&mut a, TEST);
    assert!(report.ends_with("VALIDATED"), "{report}");
}

#[test]
fn a_killed_process_leaves_the_source_as_it_was() {
    let cluster = Cluster::start("restore_kills", "fsync = off\nautovacuum = off");
    let mut a = shop(&cluster, "shop");
    let (whole, before) = (whole(&mut a), checksum(&mut a));
    let mut random = Random(50);
    for number in 0..50 {
        let mut session = cluster.connect("shop");
        let leader = value(&mut session, "SELECT pg_backend_pid()");
        let session = std::thread::spawn(move || session.batch_execute(TEST).is_err());
        std::thread::sleep(Duration::from_millis(random.below(whole) as u64));
        let others = rows(
            &mut a,
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'crewsnow_ops worker'
                OR application_name ~ '^(pg_dump|pg_restore|crewsnow)'",
        );
        let pid = if number % 2 == 0 { others.first().cloned().unwrap_or(leader) } else { leader };
        // The process may have ended by itself.
        let _ = Command::new("kill").args(["-9", &pid]).output();
        let _ = session.join().expect("the end of the session");
        std::thread::sleep(Duration::from_millis(200));
        let mut recovered = None;
        wait_until("the recovery", || {
            recovered = cluster.try_connect("shop");
            recovered.is_some()
        });
        a = recovered.expect("a session");
        wait_until("no process", || value(&mut a, PROCESSES) == "0");
        assert_eq!(checksum(&mut a), before, "kill {number}");
    }
    let report = value(&mut a, TEST);
    assert!(report.ends_with("VALIDATED"), "{report}");
    assert_eq!(rows(&mut a, REMAINS), [""; 0]);
}
