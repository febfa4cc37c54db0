//! For a minute, sessions flip, roll back and read flags at random. Each read is checked against
//! the commits. A value that was replaced before the read began is stale. A value that was never
//! committed is dirty.

use harness::{Cluster, is_on, run, staleness};
use postgres::Client;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const FLAGS: usize = 4;
const READERS: usize = 6;
const DURATION: Duration = Duration::from_secs(60);

type Commit = staleness::Commit<Instant>;
type Read = staleness::Read<Instant>;

/// A generator of pseudo-random numbers. The seed of a failed run repeats its numbers.
pub struct Random(pub u64);

impl Random {
    /// A number from 0 to `bound - 1`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn name(flag: usize) -> String {
    format!("random_{flag}")
}

/// Flips one flag in one of three ways, and sometimes rolls the flip back.
fn write(
    mut session: Client,
    flag: usize,
    mut random: Random,
    until: Instant,
    log: Arc<Mutex<Vec<Commit>>>,
) {
    let key = name(flag);
    let mut value = true;
    while Instant::now() < until {
        let change = match random.below(3) {
            0 => format!("SELECT update_feature_flag('{key}', {})", !value),
            1 => {
                format!("UPDATE feature_flags SET is_enabled = {} WHERE flag_key = '{key}'", !value)
            }
            _ => format!(
                "DELETE FROM feature_flags WHERE flag_key = '{key}';
                 INSERT INTO feature_flags (flag_key, is_enabled) VALUES ('{key}', {})",
                !value
            ),
        };
        run(&mut session, &format!("BEGIN; {change}"));
        std::thread::sleep(Duration::from_micros(random.below(3_000)));
        assert_eq!(is_on(&mut session, &key), !value, "a session sees its own change");
        match random.below(4) {
            0 => run(&mut session, "ROLLBACK"),
            1 => run(
                &mut session,
                &format!(
                    "SAVEPOINT s; UPDATE feature_flags SET is_enabled = {value}
                     WHERE flag_key = '{key}'; ROLLBACK"
                ),
            ),
            _ => {
                let sent = Instant::now();
                run(&mut session, "COMMIT");
                value = !value;
                log.lock().expect("the log").push(Commit {
                    sent,
                    acknowledged: Instant::now(),
                    value,
                });
            }
        }
        assert_eq!(
            is_on(&mut session, &key),
            value,
            "a session sees its committed change and not a rolled back one"
        );
        std::thread::sleep(Duration::from_micros(random.below(2_000)));
    }
}

fn read(mut session: Client, mut random: Random, until: Instant) -> Vec<(usize, Read)> {
    let mut reads = Vec::new();
    while Instant::now() < until {
        let isolation = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE READ ONLY"]
            [random.below(3) as usize];
        let in_transaction = random.below(3) == 0;
        if in_transaction {
            run(&mut session, &format!("BEGIN ISOLATION LEVEL {isolation}; SELECT 1"));
        }
        for _ in 0..random.below(20) {
            let flag = random.below(FLAGS as u64) as usize;
            let began = Instant::now();
            let value = is_on(&mut session, &name(flag));
            reads.push((flag, Read { began, ended: Instant::now(), value }));
        }
        if in_transaction {
            run(&mut session, "COMMIT");
        }
    }
    reads
}

#[test]
fn no_stale_and_no_dirty_read() {
    let cluster = Cluster::start("random", "");
    let mut a = cluster.create_database("random");
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_nanos() as u64;
    println!("seed {seed}");
    let start = Instant::now();
    let logs: Vec<Arc<Mutex<Vec<Commit>>>> = (0..FLAGS)
        .map(|flag| {
            run(
                &mut a,
                &format!(
                    "INSERT INTO feature_flags (flag_key, is_enabled) VALUES ('{}', true)",
                    name(flag)
                ),
            );
            Arc::new(Mutex::new(vec![Commit { sent: start, acknowledged: start, value: true }]))
        })
        .collect();
    let until = Instant::now() + DURATION;
    let writers: Vec<_> = (0..FLAGS)
        .map(|flag| {
            let (session, log) = (cluster.connect("random"), Arc::clone(&logs[flag]));
            std::thread::spawn(move || write(session, flag, Random(seed ^ flag as u64), until, log))
        })
        .collect();
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let session = cluster.connect("random");
            std::thread::spawn(move || read(session, Random(seed ^ (100 + reader as u64)), until))
        })
        .collect();
    for writer in writers {
        writer.join().expect("a writer ends");
    }
    let commits: Vec<Vec<Commit>> =
        logs.iter().map(|log| log.lock().expect("the log").clone()).collect();
    let (mut reads, mut wrong) = (0, 0);
    for reader in readers {
        for (flag, read) in reader.join().expect("a reader ends") {
            reads += 1;
            wrong += u32::from(!read.is_explained(&commits[flag]));
        }
    }
    let flips: usize = commits.iter().map(Vec::len).sum();
    println!("{flips} flips, {reads} reads, {wrong} stale or dirty");
    assert!(flips > 1_000 && reads > 10_000, "too little happened: {flips} flips, {reads} reads");
    assert_eq!(wrong, 0, "stale or dirty reads, seed {seed}");
}

#[test]
fn the_check_finds_stale_and_dirty_reads() {
    let origin = Instant::now();
    let at = |ms| origin + Duration::from_millis(ms);
    let commits = [
        Commit { sent: at(0), acknowledged: at(0), value: true },
        Commit { sent: at(10), acknowledged: at(12), value: false },
    ];
    let is_explained = |began, ended, value| {
        Read { began: at(began), ended: at(ended), value }.is_explained(&commits)
    };
    assert!(is_explained(1, 2, true));
    assert!(!is_explained(1, 2, false), "dirty");
    assert!(is_explained(9, 11, true) && is_explained(9, 11, false));
    assert!(is_explained(11, 13, true));
    assert!(!is_explained(13, 14, true), "stale");
    assert!(is_explained(13, 14, false));
}
