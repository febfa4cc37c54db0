//! Each driver writes events and webhooks and changes flags with the native types of its language.

use super::client::{DJANGO, DRIVERS, Driver, Route, Site, words};
use harness::{must_run, rows, run};
use std::collections::BTreeMap;

/// Calls that every driver makes, at least.
const MIN_CALLS: usize = 12;

/// The calls of one driver that failed, or that the server stored otherwise than they were made.
fn defects(site: &Site, driver: Driver, route: Route) -> Vec<String> {
    let database = format!("calls_{}_{}", driver.name, route.name());
    let mut client = site.create_database(&database);
    run(
        &mut client,
        "INSERT INTO feature_flags (flag_key, is_enabled) VALUES ('client_calls', false)",
    );
    let output = must_run(site.program(driver, &database, route).args(["calls", "client_calls"]));
    let mut stored: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // A call of an Edge Function has its label as its function.
    let events = rows(
        &mut client,
        "SELECT CASE event_type WHEN 'edge_function_call' THEN function_name ELSE event_type END,
             trim_scale(execution_time_ms)::text
         FROM event_log
         UNION ALL SELECT 'webhook ' || event_id, status FROM processed_events",
    );
    for event in events {
        let (label, value) = event.split_once('|').expect("two columns");
        let value = if value == "NULL" { "" } else { value };
        stored.entry(label.to_owned()).or_default().push(value.to_owned());
    }
    let mut defects = Vec::new();
    let mut calls = 0;
    for line in output.lines() {
        let [kind, label, expected, outcome] = words(line)[..] else {
            panic!("{database}: not a call: {line}");
        };
        calls += 1;
        let mut report = |defect: &str| {
            defects.push(format!("{} {}: {kind} {label}: {defect}", driver.name, route.name()))
        };
        if outcome != "ok" {
            report(outcome);
            continue;
        }
        let found = match kind {
            "call" => stored.get(label),
            "webhook" => stored.get(&format!("webhook {label}")),
            _ => continue,
        };
        if found.is_none_or(|found| found[..] != [expected]) {
            report(&format!("stored {found:?} instead of {expected}"));
        }
    }
    assert!(calls >= MIN_CALLS, "{database}: only {calls} calls\n{output}");
    defects
}

#[test]
fn every_driver_calls_with_its_native_types() {
    let site = Site::start("client_calls", 4);
    let mut found = Vec::new();
    for route in Route::ALL {
        for driver in DRIVERS.into_iter().chain([DJANGO]) {
            found.extend(defects(&site, driver, route));
        }
    }
    assert!(found.is_empty(), "{} calls failed:\n{}", found.len(), found.join("\n"));
}
