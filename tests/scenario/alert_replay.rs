//! Days of generated traffic: a replay equals the live alerts, and healthy noise pages nobody.

use harness::random::Random;
use harness::{Cluster, rows, run, value};
use postgres::Client;

const MINUTE: i64 = 60;
const RULES: &str = "('p95-latency', 'error-rate', 'burn-rate-fast', 'burn-rate-slow')";

/// A server whose clock stands at a full minute, with only the rules of traffic.
fn server(name: &str) -> (Cluster, Client, i64) {
    let cluster = Cluster::start_with_clock(name, "");
    let mut a = cluster.create_database("days");
    run(
        &mut a,
        &format!(
            "UPDATE crewsnow_ops.alert_rules SET is_enabled = name IN {RULES}, \
            every = '1 minute'"
        ),
    );
    let second = value(&mut a, "SELECT floor(extract(second FROM clock_timestamp()))::int");
    // Ten seconds into the minute, so that a slow machine stays within it.
    let start = 70 - second.parse::<i64>().expect("a number");
    (cluster, a, start)
}

/// One minute of calls of a function: log-normal times, and errors by chance.
fn minute_of_calls(
    random: &mut Random,
    function: &str,
    count: i64,
    ms: f64,
    errors: f64,
) -> String {
    let failing = (0..count).filter(|_| (random.below(1_000_000) as f64) < errors * 1e6).count();
    format!(
        "SELECT 'edge_function_call', '{function}',
            {ms} * exp(0.4 * sqrt(-2 * ln(0.0001
                    + 0.9998 * ((n * 7919 + {seed}) % 10007) / 10007.0))
                * cos(6.2831853 * ((n * 104729 + {seed}) % 10009) / 10009.0)),
            jsonb_build_object('status_code', CASE WHEN n <= {failing} THEN 503 ELSE 200 END),
            date_trunc('minute', clock_timestamp()) - interval '1 minute' + n * interval '50 ms'
         FROM generate_series(1, {count}) AS n",
        seed = random.below(10_000)
    )
}

const INSERT: &str =
    "INSERT INTO event_log (event_type, function_name, execution_time_ms, payload, created_at) ";

/// 24 hours with five incidents of different kinds. Each event of the live machine, and no other,
/// comes out of the replay: before the events are rolled up, and after it.
#[test]
fn a_replay_equals_the_live_alerts_event_by_event() {
    let (cluster, mut a, start) = server("replay_day");
    let mut random = Random(19);
    let incidents: [(i64, i64, f64, f64); 5] = [
        (60, 12, 4.0, 0.002),
        (300, 25, 1.0, 0.3),
        (480, 3, 9.0, 0.001),
        (700, 60, 2.6, 0.08),
        (1_000, 40, 8.0, 0.5),
    ];
    let from =
        value(&mut a, "SELECT date_trunc('minute', clock_timestamp()) + interval '1 minute'");
    for minute in 0..1_440 {
        cluster.set_clock(start + minute * MINUTE);
        let worse = incidents.iter().find(|(at, length, ..)| (*at..at + length).contains(&minute));
        let (slow, errors) = worse.map_or((1.0, 0.002), |(.., slow, errors)| (*slow, *errors));
        let calls = [
            minute_of_calls(&mut random, "checkout", 20 + (minute % 60), 700.0 * slow, errors),
            minute_of_calls(&mut random, "search", 12, 180.0, 0.002),
        ];
        run(&mut a, &format!("{INSERT}{}", calls.join(" UNION ALL ")));
        if minute % 7 == 0 {
            run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
        }
        let told = rows(&mut a, "SELECT verdict, evaluated, failed FROM crewsnow_ops.tick()");
        assert_eq!(told, ["DONE|4|0"], "minute {minute}");
    }
    let live = |rule: &str| {
        format!(
            "SELECT date_trunc('minute', at), event, subject, severity, round(value::numeric, 6)
             FROM crewsnow_ops.alert_events WHERE rule = '{rule}' ORDER BY event_id"
        )
    };
    let replayed = |rule: &str| {
        format!(
            "SELECT date_trunc('minute', at), event, subject, severity, round(value::numeric, 6)
             FROM crewsnow_ops.replay_events('{rule}', timestamptz '{from}' + interval '10 s',
                timestamptz '{from}' + interval '1440 minutes')"
        )
    };
    let mut total = 0;
    for turn in ["with a tail", "all rolled up"] {
        for rule in ["p95-latency", "error-rate", "burn-rate-fast", "burn-rate-slow"] {
            let (was, is) = (rows(&mut a, &live(rule)), rows(&mut a, &replayed(rule)));
            assert_eq!(was, is, "{rule}, {turn}");
            total += was.len();
        }
        run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
    }
    assert!(total > 40, "only {total} events: the day was too quiet");
    let shown = "SELECT outcome, count(*) FROM crewsnow_ops.replay_rule('error-rate', $from$, $to$)
        GROUP BY 1";
    let shown = shown
        .replace("$from$", &format!("timestamptz '{from}' + interval '10 s'"))
        .replace("$to$", &format!("timestamptz '{from}' + interval '1440 minutes'"));
    let outcome = rows(&mut a, &shown);
    assert_eq!(outcome.len(), 1, "{outcome:?}");
    assert!(outcome[0].starts_with("both|"), "{outcome:?}");
    // A stricter rule would have fired more often.
    run(
        &mut a,
        "UPDATE crewsnow_ops.alert_rules SET critical = 1, critical_clears = NULL \
        WHERE name = 'error-rate'",
    );
    let stricter = rows(&mut a, &shown);
    assert!(stricter.iter().any(|row| row.starts_with("replay only|")), "{stricter:?}");
}

/// Seven days of healthy traffic with night and day, single slow calls and single errors.
#[test]
fn a_week_of_healthy_noise_sends_no_notice() {
    let (cluster, mut a, start) = server("noise_week");
    let mut random = Random(7);
    const STEP: i64 = 5;
    run(&mut a, "UPDATE crewsnow_ops.alert_rules SET every = '5 minutes' WHERE is_enabled");
    run(&mut a, "SET synchronous_commit = off");
    for step in 0..7 * 1_440 / STEP {
        let minute = step * STEP;
        cluster.set_clock(start + minute * MINUTE);
        let hour = (minute / 60 % 24 - 12).abs();
        let count = 10 + (12 - hour) * 15;
        let calls = [
            minute_of_calls(&mut random, "checkout", count, 450.0, 0.0005),
            minute_of_calls(&mut random, "search", count / 2, 120.0, 0.0005),
            minute_of_calls(&mut random, "nightly", i64::from(minute % 60 == 0) * 3, 900.0, 0.05),
        ];
        run(&mut a, &format!("{INSERT}{}", calls.join(" UNION ALL ")));
        if step % 12 == 0 {
            run(&mut a, "SELECT * FROM crewsnow_ops.roll_up_events()");
        }
        let told = rows(&mut a, "SELECT verdict, evaluated, failed FROM crewsnow_ops.tick()");
        assert_eq!(told, ["DONE|4|0"], "minute {minute}");
    }
    let fired = "SELECT at, event, rule, subject, message FROM crewsnow_ops.alert_events
        WHERE event IN ('notice', 'firing')";
    assert!(rows(&mut a, fired).is_empty(), "{:?}", rows(&mut a, fired));
    assert_ne!(value(&mut a, "SELECT count(*) FROM event_log"), "0");
}
