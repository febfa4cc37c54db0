//! The sender of docs/messages.md, with a receiver that fails, and killed again and again.

use harness::random::Random;
use harness::{Cluster, root, run, value};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const MESSAGES: i64 = 300;
const KILLS: usize = 15;
/// 32 bytes.
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The Python program of the page.
fn program() -> String {
    let page = std::fs::read_to_string(root().join("docs/messages.md")).expect("the page");
    let (_, rest) = page.split_once("```python\n").expect("a program");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// The requests that were answered with 200, by identifier.
type Received = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// Answers a request: mostly well, sometimes with an error, sometimes with a closed connection
/// after it was taken.
fn serve(mut stream: TcpStream, received: &Received, random: &Mutex<Random>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let chance = random.lock().expect("the generator").below(100);
    let (status, text) = if chance < 5 { ("503 Busy", "busy") } else { ("200 OK", "ok") };
    if status == "200 OK" {
        let request =
            format!("{}\n{}", headers.get("webhook-signature")?, String::from_utf8_lossy(&body));
        let id = headers.get("webhook-id")?.clone();
        received.lock().expect("the list").entry(id).or_default().push(request);
    }
    if chance >= 97 {
        return None;
    }
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
    .ok()
}

fn start(cluster: &Cluster, program: &str, places: &str) -> Child {
    let mut command = Command::new(root().join("target/clients/bin/python"));
    command.args(["-c", program, places]).env(
        "DATABASE_URL",
        format!(
            "host={} port={} user=sender dbname=shop",
            cluster.socket().display(),
            cluster.port()
        ),
    );
    command.stdin(Stdio::null()).spawn().expect("the sender starts")
}

/// Each message arrives, and no more often than once and once again for each lost answer.
#[test]
fn the_sender_of_the_manual_loses_nothing() {
    let cluster = Cluster::start("sender", "");
    let mut a = cluster.create_database("shop");
    let page = std::fs::read_to_string(root().join("docs/messages.md")).expect("the page");
    let (_, grants) = page.split_once("```sql\nCREATE ROLE").expect("the role of a sender");
    run(&mut a, &format!("CREATE ROLE{}", grants.split_once("```").expect("its end").0));
    run(
        &mut a,
        "INSERT INTO crewsnow_ops.channels (name, kind, per_minute)
         VALUES ('orders', 'webhook', 10000)",
    );
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let received: Received = Arc::default();
    let seen = received.clone();
    std::thread::spawn(move || {
        let random = Mutex::new(Random(20));
        for stream in listener.incoming().flatten() {
            serve(stream, &seen, &random);
        }
    });
    let places = cluster.scratch().join("places.json");
    let place = format!(
        "{{\"orders\": {{\"url\": \"http://127.0.0.1:{port}/in\", \"secret\": \"{SECRET}\"}}}}"
    );
    std::fs::write(&places, place).expect("the file of the sender");
    let places = places.display().to_string();
    // Leases of a second, so that the test need not wait for those of killed senders.
    let program = program().replace("'1 minute'", "'1 second'");
    run(
        &mut a,
        &format!(
            "SELECT crewsnow_ops.send('orders', jsonb_build_object('n', n))
        FROM generate_series(1, {MESSAGES}) AS n"
        ),
    );
    let mut random = Random(21);
    let mut sender = start(&cluster, &program, &places);
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(250 + random.below(600) as u64));
        sender.kill().expect("the sender is killed");
        let _ = sender.wait();
        sender = start(&cluster, &program, &places);
    }
    let begin = Instant::now();
    let waiting = "SELECT count(*) FROM crewsnow_ops.messages WHERE state IN ('queued', 'sending')";
    while value(&mut a, waiting) != "0" {
        assert!(begin.elapsed() < Duration::from_secs(90), "messages wait");
        // Retries would take minutes.
        run(
            &mut a,
            "UPDATE crewsnow_ops.messages SET next_attempt_at = now()
            WHERE state = 'queued'",
        );
        run(&mut a, "UPDATE crewsnow_ops.channel_states SET limiter = '{}'");
        std::thread::sleep(Duration::from_millis(300));
    }
    sender.kill().expect("the sender is killed");
    let _ = sender.wait();
    let states = "SELECT string_agg(DISTINCT state, ' ') FROM crewsnow_ops.messages";
    assert_eq!(value(&mut a, states), "sent");
    let received = received.lock().expect("the list");
    assert_eq!(received.len() as i64, MESSAGES, "each identifier arrived");
    let twice: usize = received.values().map(|requests| requests.len() - 1).sum();
    let retried = "SELECT count(*) FROM crewsnow_ops.delivery_attempts WHERE outcome <> 'sent'";
    let retried: usize = value(&mut a, retried).parse().expect("a number");
    assert!(twice <= retried, "{twice} copies, {retried} attempts without an answer");
    for requests in received.values() {
        let bodies: Vec<_> = requests.iter().map(|request| request.split_once('\n')).collect();
        let same = bodies.iter().all(|body| body.map(|b| b.1) == bodies[0].map(|b| b.1));
        assert!(same, "{requests:?}");
        assert!(requests[0].starts_with("v1,"), "{requests:?}");
    }
    let log = std::fs::read_to_string(cluster.scratch().join("data/server.log"));
    assert!(!log.expect("the log").contains("whsec_"), "a secret is in the log");
}
