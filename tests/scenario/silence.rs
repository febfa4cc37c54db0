//! Silence of webhooks and of functions, in a database with weeks of history.

use harness::{Cluster, rows, run, value};
use postgres::Client;

const ROLL_UP: &str = "SELECT * FROM crewsnow_ops.roll_up_events()";

/// Three weeks of webhooks: each of these minutes one, until some minutes ago.
fn webhooks(client: &mut Client, step: u32, until: u32) {
    run(client, "TRUNCATE processed_events");
    run(
        client,
        &format!(
            "INSERT INTO processed_events (event_id, event_type, processed_at)
             SELECT 'evt_' || n, 'invoice.paid', now() - n * interval '{step} minutes'
                 - interval '{until} minutes'
             FROM generate_series(0, 22 * 1440 / {step}) AS n"
        ),
    );
    run(client, ROLL_UP);
}

#[test]
fn silent_webhooks_are_told_by_the_same_time_of_earlier_days() {
    let cluster = Cluster::start("silent_webhooks", "");
    let mut a = cluster.create_database("silent");
    let status = "SELECT DISTINCT webhook_status FROM stripe_webhook_monitoring";
    for (step, until, is_told) in [(1, 3, false), (1, 15, true), (5, 30, false), (5, 55, true)] {
        webhooks(&mut a, step, until);
        let found = value(&mut a, status);
        let expected = if is_told { "ALERT: No webhook for " } else { "OK" };
        assert!(found.starts_with(expected), "every {step} min, silent for {until}: {found}");
    }
    // The next webhook ends it.
    run(&mut a, "SELECT crewsnow_ops.record_stripe_webhook('evt_next', 'invoice.paid')");
    assert_eq!(value(&mut a, status), "OK");
}

#[test]
fn a_function_that_used_to_be_called_is_told() {
    let cluster = Cluster::start("silent_functions", "");
    let mut a = cluster.create_database("silent");
    let silent = "SELECT function_name, silent_minutes BETWEEN 120 AND 125, usual_calls >= 9,
        status LIKE 'ALERT: No call for 12% min, usual are %' OR status IN ('OK', 'NO_DATA')
        FROM crewsnow_ops.silent_functions";
    let status = "SELECT function_name || ' ' || status FROM crewsnow_ops.silent_functions";
    assert_eq!(rows(&mut a, status), ["(none) NO_DATA"], "nothing is known yet");
    // One stopped two hours ago; one goes on; one never ran at this time; one is rare.
    run(
        &mut a,
        "INSERT INTO event_log (event_type, function_name, created_at)
         SELECT 'x', f, now() - n * interval '10 minutes'
         FROM generate_series(0, 15 * 144) AS n, unnest(ARRAY['sync', 'steady']) AS f
         WHERE f = 'steady' OR n >= 12;
         INSERT INTO event_log (event_type, function_name, created_at)
         SELECT 'x', 'nightly', now() - n * interval '1 day' - interval '12 hours'
         FROM generate_series(0, 14) AS n;
         INSERT INTO event_log (event_type, function_name, created_at)
         SELECT 'x', 'rare', now() - n * interval '1 hour' FROM generate_series(3, 14 * 24) AS n",
    );
    while value(&mut a, "SELECT is_complete FROM crewsnow_ops.roll_up_events()") != "t" {}
    assert_eq!(rows(&mut a, silent), ["sync|t|t|t"]);
    // A call that is not rolled up yet ends the silence.
    run(&mut a, "SELECT crewsnow_ops.record_edge_call('sync', 5, 200)");
    assert_eq!(rows(&mut a, status), ["(none) OK"]);
}
