//! All drivers at once flip and read flags, write events and handle webhooks, while sessions of
//! the server are ended and statements are cancelled. No read is stale, and no acknowledged call is
//! lost or stored twice.

use super::client::{DRIVERS, Route, Site, words};
use harness::staleness::{Commit, Read};
use harness::{Cluster, rows, run, value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read as _, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const DATABASE: &str = "traffic";
const DURATION: Duration = Duration::from_secs(12);
const PAUSE_BETWEEN_KILLS: Duration = Duration::from_millis(40);
/// Before the first read of any client, in nanoseconds of the monotonic clock.
const START: i64 = 0;

/// A client program that waits for the start of the traffic.
struct Running {
    name: String,
    process: Child,
    output: BufReader<ChildStdout>,
}

/// Starts all clients. Each has a flag of its own, which it alone flips.
fn start(site: &Site, flags: &[String]) -> Vec<Running> {
    let seconds = DURATION.as_secs().to_string();
    let clients = Route::ALL.iter().flat_map(|route| DRIVERS.map(|driver| (driver, *route)));
    clients
        .zip(flags)
        .map(|((driver, route), flag)| {
            let mut process = site
                .program(driver, DATABASE, route)
                .args(["traffic", flag, &seconds])
                .env("FLAGS", flags.join(","))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap_or_else(|e| panic!("{flag}: {e}: run dev/clients.sh"));
            let output = BufReader::new(process.stdout.take().expect("a pipe"));
            Running { name: flag.clone(), process, output }
        })
        .collect()
}

impl Running {
    fn wait_until_ready(&mut self) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "{} is not ready", self.name);
    }

    /// Lets the traffic begin. The thread returns all lines of the client.
    fn begin(mut self) -> JoinHandle<(String, String)> {
        self.process.stdin.take().expect("a pipe").write_all(b"\n").expect("the client waits");
        std::thread::spawn(move || {
            let mut lines = String::new();
            self.output.read_to_string(&mut lines).expect("lines of the client");
            let status = self.process.wait().expect("the client ends");
            assert!(status.success(), "{}: {status}", self.name);
            (self.name, lines)
        })
    }
}

/// Every few milliseconds, ends a session or cancels a statement, busy ones first. Returns the
/// number of both.
fn kill(cluster: &Cluster, until: Instant) -> usize {
    let mut superuser = cluster.connect(DATABASE);
    let mut killed = 0;
    for function in ["pg_terminate_backend", "pg_cancel_backend"].iter().cycle() {
        if Instant::now() >= until {
            break;
        }
        killed += rows(
            &mut superuser,
            &format!(
                "SELECT {function}(pid) FROM pg_stat_activity
                 WHERE usename = 'oncall' ORDER BY state = 'active' DESC, random() LIMIT 1"
            ),
        )
        .len();
        std::thread::sleep(PAUSE_BETWEEN_KILLS);
    }
    killed
}

/// The facts that the clients printed.
#[derive(Default)]
struct Facts {
    flips: BTreeMap<String, Vec<Commit<i64>>>,
    reads: Vec<(String, Read<i64>)>,
    events: Vec<String>,
    webhooks: BTreeMap<String, String>,
    losses: u32,
}

impl Facts {
    fn add(&mut self, client: &str, lines: &str) {
        let time = |word: &str| word.parse::<i64>().expect("nanoseconds");
        for line in lines.lines() {
            match words(line)[..] {
                ["flip", sent, acknowledged, value] => {
                    self.flips.entry(client.to_owned()).or_default().push(Commit {
                        sent: time(sent),
                        acknowledged: time(acknowledged),
                        value: value == "t",
                    });
                }
                ["read", flag, began, ended, value] => {
                    let read = Read { began: time(began), ended: time(ended), value: value == "t" };
                    self.reads.push((flag.to_owned(), read));
                }
                ["event", call] => self.events.push(call.to_owned()),
                ["webhook", event, status] => {
                    self.webhooks.insert(event.to_owned(), status.to_owned());
                }
                ["lost", count] => self.losses += count.parse::<u32>().expect("a count"),
                _ => panic!("{client}: not a fact: {line}"),
            }
        }
    }

    /// Reads whose value no commit explains.
    fn wrong_reads(&self) -> usize {
        self.reads.iter().filter(|(flag, read)| !read.is_explained(&self.flips[flag])).count()
    }
}

#[test]
fn kills_lose_and_double_nothing_and_no_read_is_stale() {
    let site = Site::start("client_traffic", 12);
    let mut superuser = site.create_database(DATABASE);
    let flags: Vec<String> = Route::ALL
        .iter()
        .flat_map(|route| DRIVERS.map(|driver| format!("{}_{}", driver.name, route.name())))
        .collect();
    let mut facts = Facts::default();
    for flag in &flags {
        run(
            &mut superuser,
            &format!("INSERT INTO feature_flags (flag_key, is_enabled) VALUES ('{flag}', true)"),
        );
        let created = Commit { sent: START, acknowledged: START, value: true };
        facts.flips.insert(flag.clone(), vec![created]);
    }
    let mut clients = start(&site, &flags);
    clients.iter_mut().for_each(Running::wait_until_ready);
    let until = Instant::now() + DURATION;
    let running: Vec<_> = clients.into_iter().map(Running::begin).collect();
    let has_ended = AtomicBool::new(false);
    let kills = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut counter = site.cluster.connect(DATABASE);
            while !has_ended.load(Ordering::Relaxed) {
                run(&mut counter, "SELECT * FROM crewsnow_ops.roll_up_events()");
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let kills = kill(&site.cluster, until);
        has_ended.store(true, Ordering::Relaxed);
        kills
    });
    for client in running {
        let (name, lines) = client.join().expect("a client ends well");
        facts.add(&name, &lines);
    }
    check(&mut superuser, &facts, &flags);
    let flips: usize = facts.flips.values().map(Vec::len).sum();
    println!(
        "{kills} kills, {} losses seen; {flips} flips, {} reads; {} events, {} webhooks",
        facts.losses,
        facts.reads.len(),
        facts.events.len(),
        facts.webhooks.len()
    );
    assert!(facts.losses > 20, "the kills met clients: {} losses", facts.losses);
    assert!(flips > 300 && facts.reads.len() > 3_000, "the clients were busy");
    assert!(facts.events.len() > 500 && facts.webhooks.len() > 300, "the clients were busy");
}

fn check(superuser: &mut postgres::Client, facts: &Facts, flags: &[String]) {
    for flag in flags {
        assert!(facts.flips[flag].len() > 1, "{flag} was flipped");
        let (own, name) = (format!("{flag}-"), format!("evt-{flag}-"));
        assert!(facts.events.iter().any(|call| call.starts_with(&own)), "{flag} wrote events");
        assert!(facts.webhooks.keys().any(|id| id.starts_with(&name)), "{flag} had webhooks");
    }
    assert_eq!(facts.wrong_reads(), 0, "stale or dirty reads of {}", facts.reads.len());

    let stored = rows(superuser, "SELECT payload ->> 'call' FROM event_log ORDER BY 1");
    let distinct: BTreeSet<_> = stored.iter().collect();
    assert_eq!(distinct.len(), stored.len(), "events stored twice");
    let acknowledged: BTreeSet<_> = facts.events.iter().collect();
    let lost: Vec<_> = acknowledged.difference(&distinct).collect();
    assert!(lost.is_empty(), "acknowledged and not stored: {lost:?}");
    let unknown: Vec<_> = distinct.difference(&acknowledged).collect();
    assert!(unknown.is_empty(), "stored and never acknowledged: {unknown:?}");
    let counted = value(
        superuser,
        "SELECT sum(total_calls) FROM edge_functions_monitoring WHERE data_state = 'DATA'",
    );
    assert_eq!(counted, stored.len().to_string(), "events that the monitoring counts");

    let stored: BTreeMap<_, _> = rows(superuser, "SELECT event_id, status FROM processed_events")
        .into_iter()
        .filter_map(|row| row.split_once('|').map(|(id, status)| (id.into(), status.into())))
        .collect();
    assert_eq!(stored, facts.webhooks, "webhooks with their status");
    let failed = stored.values().filter(|status: &&String| *status == "failed").count();
    let counted = value(
        superuser,
        "SELECT sum(total_events) || ' ' || sum(failed_events) FROM stripe_webhook_monitoring",
    );
    assert_eq!(counted, format!("{} {failed}", stored.len()), "webhooks that are counted");
}
