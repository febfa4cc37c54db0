//! Calls every function and view of the extension with hostile arguments, in many states of a
//! session, as each kind of role. The catalog lists them, so a new function is called by itself.
//!
//! `CREWSNOW_FUZZ_CALLS` is the number of calls (20,000), `CREWSNOW_FUZZ_SEED` repeats a run.

mod application;
mod arguments;
mod functions;
mod states;
mod verdict;

use application::{ROLES, Role};
use functions::Callable;
use harness::Cluster;
use harness::random::Random;
use postgres::Client;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Servers that are called at the same time. Each is the only one that its calls reach.
const SERVERS: usize = 2;
/// A run ends after this time per 20,000 calls, however slow the machine is.
const TIME_LIMIT: Duration = Duration::from_secs(180);
const CALLS: usize = 20_000;
/// statement_timeout is 3 seconds. A call that takes so much longer ignores it.
const UNCANCELLED: Duration = Duration::from_secs(15);

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The sessions of one server, by role. A session that a call ended is opened again.
struct Sessions<'a> {
    cluster: &'a Cluster,
    open: BTreeMap<&'static str, Client>,
}

impl<'a> Sessions<'a> {
    fn of(&mut self, role: &Role) -> &mut Client {
        let cluster = self.cluster;
        self.open.entry(role.name).or_insert_with(|| cluster.connect_as(role.name, "fuzz"))
    }
}

/// Calls one server so many times. Returns the number of calls made, and the faults.
fn attack(server: usize, seed: u64, calls: usize, until: Instant) -> (usize, Vec<String>) {
    let cluster = Cluster::start(&format!("fuzz_{server}"), application::SETTINGS);
    let mut owner = application::create(&cluster);
    let callables = functions::callables(&mut owner);
    let allowed = verdict::allowed(&mut owner, &callables);
    let privileges = verdict::privileges(&mut owner);
    drop(owner);
    let places: Vec<usize> = callables
        .iter()
        .enumerate()
        .flat_map(|(place, callable)| std::iter::repeat_n(place, callable.weight))
        .collect();
    let mut sessions = Sessions { cluster: &cluster, open: BTreeMap::new() };
    let mut random = Random(seed);
    let (mut made, mut faults) = (0, Vec::new());
    while made < calls && faults.len() < 200 && Instant::now() < until {
        let place = *random.pick(&places);
        let callable: &Callable = &callables[place];
        let role = application::pick(&mut random);
        let call = callable.call(&mut random);
        let batches = states::batches(&call, &mut random);
        made += 1;
        let is_allowed = allowed[place].contains(&role.name);
        let told = |fault: String| {
            let mut statements = batches.join(" ;; ");
            if statements.len() > 700 {
                statements.truncate(
                    (0..700).rev().find(|at| statements.is_char_boundary(*at)).unwrap_or(0),
                );
            }
            format!(
                "call {made} as {}: {}: {fault}\n    {statements}",
                role.name, callable.identity
            )
        };
        let session = sessions.of(role);
        let began = Instant::now();
        match verdict::of_call(session, role, &batches, &call, is_allowed) {
            Ok(()) => {}
            Err(fault) => {
                faults.push(told(fault));
                sessions.open.remove(role.name);
            }
        }
        if began.elapsed() > UNCANCELLED {
            let seconds = began.elapsed().as_secs();
            faults.push(told(format!("it took {seconds} s, whatever statement_timeout is")));
        }
    }
    drop(sessions);
    let mut owner = cluster.connect("fuzz");
    faults.extend(verdict::of_privileges(&privileges, &verdict::privileges(&mut owner)));
    let log = std::fs::read_to_string(cluster.scratch().join("data/server.log"));
    faults.extend(verdict::of_log(&log.expect("the server's log")));
    (made, faults)
}

#[test]
fn no_call_is_an_internal_error_or_a_gain_of_privileges() {
    let calls = number("CREWSNOW_FUZZ_CALLS", CALLS);
    let seed = number("CREWSNOW_FUZZ_SEED", 20_261_127) as u64;
    let until = Instant::now() + TIME_LIMIT * (calls.div_ceil(CALLS)) as u32;
    let attacks: Vec<_> = (0..SERVERS)
        .map(|server| {
            let seed = seed.wrapping_add(server as u64);
            std::thread::spawn(move || attack(server, seed, calls / SERVERS, until))
        })
        .collect();
    let results = attacks.into_iter().map(|attack| attack.join().expect("the calls were made"));
    let (made, faults) = results.fold((0, Vec::new()), |(made, mut all), (more, faults)| {
        all.extend(faults);
        (made + more, all)
    });
    println!("{made} of {calls} calls made, seed {seed}, roles {}", ROLES.len());
    assert!(faults.is_empty(), "{} faults with seed {seed}:\n{}", faults.len(), faults.join("\n"));
    assert!(made >= calls / 2, "only {made} of {calls} calls were made in time");
}
