//! Maintenance takes exactly the tables that autovacuum takes on a copy of the same server.

use harness::random::Random;
use harness::{Cluster, rows, run, value};
use postgres::Client;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const TABLES: usize = 300;

/// Storage parameters with values on both sides of the thresholds of the tables below.
const PARAMETERS: [(&str, &[&str]); 11] = [
    ("autovacuum_enabled", &["off", "on"]),
    ("autovacuum_vacuum_threshold", &["0", "20", "400", "100000"]),
    ("autovacuum_vacuum_scale_factor", &["0", "0.05", "0.5", "3"]),
    ("autovacuum_vacuum_insert_threshold", &["-1", "0", "300", "100000"]),
    ("autovacuum_vacuum_insert_scale_factor", &["0", "0.3", "2"]),
    ("autovacuum_analyze_threshold", &["0", "100", "2000"]),
    ("autovacuum_analyze_scale_factor", &["0", "0.2", "1"]),
    ("autovacuum_freeze_max_age", &["100000", "105000", "200000", "1000000000"]),
    ("autovacuum_multixact_freeze_max_age", &["10000", "10500", "12000", "300000000"]),
    ("autovacuum_freeze_min_age", &["0", "1000"]),
    ("fillfactor", &["60", "90"]),
];

/// Storage parameters as ALTER TABLE takes them.
fn parameters(random: &mut Random, has_toast: bool) -> String {
    let mut chosen = Vec::new();
    for (name, values) in PARAMETERS {
        if random.percent(25) {
            chosen.push(format!("{name} = {}", random.pick(values)));
        }
        let is_of_toast = !name.contains("analyze") && name != "fillfactor";
        if has_toast && is_of_toast && random.percent(10) {
            chosen.push(format!("toast.{name} = {}", random.pick(values)));
        }
    }
    chosen.join(", ")
}

/// A table with a random life: rows, storage parameters, VACUUM and ANALYZE in between.
fn make_table(client: &mut Client, random: &mut Random, number: usize) {
    let name = format!("shop.t{number}");
    let has_toast = random.percent(30);
    let text = if has_toast { "text" } else { "int" };
    let value = if has_toast { "repeat('x', 2500)" } else { "1" };
    let mut sql = if random.percent(8) {
        format!(
            "CREATE MATERIALIZED VIEW {name} AS SELECT i, 1 AS v FROM generate_series(1, {}) AS i;",
            random.below(1500)
        )
    } else {
        let mut sql = format!("CREATE TABLE {name} (i int, v {text});");
        if has_toast {
            sql += &format!("ALTER TABLE {name} ALTER v SET STORAGE EXTERNAL;");
        }
        for _ in 0..random.below(4) {
            let count = random.below(if has_toast { 200 } else { 1500 });
            sql += &match random.below(5) {
                0 => format!("VACUUM {name};"),
                1 => format!("ANALYZE {name};"),
                2 => format!("DELETE FROM {name} WHERE i <= {count};"),
                3 => format!("UPDATE {name} SET i = i + 1 WHERE i <= {count};"),
                _ => format!(
                    "INSERT INTO {name} SELECT i, {value} FROM \
                    generate_series(1, {count}) AS i;"
                ),
            };
        }
        sql
    };
    let parameters = parameters(random, has_toast && !sql.contains("MATERIALIZED"));
    if !parameters.is_empty() {
        sql += &format!(
            "ALTER {} {name} SET ({parameters});",
            if sql.contains("MATERIALIZED") { "MATERIALIZED VIEW" } else { "TABLE" }
        );
    }
    // VACUUM refuses to be one of several statements.
    for statement in sql.split_inclusive(';') {
        run(client, statement);
    }
}

/// Makes the first tables older than 100,000 transactions and 10,000 multixacts.
fn grow_old(client: &mut Client) {
    run(client, "CREATE TABLE public.burnt (id int PRIMARY KEY, v int)");
    run(client, "INSERT INTO public.burnt SELECT i, 0 FROM generate_series(1, 10600) AS i");
    run(
        client,
        "DO $$
         BEGIN
             FOR i IN 1 .. 10600 LOOP
                 PERFORM FROM public.burnt WHERE id = i FOR KEY SHARE;
                 BEGIN
                     UPDATE public.burnt SET v = 1 WHERE id = i;
                 EXCEPTION WHEN division_by_zero THEN NULL;
                 END;
             END LOOP;
             FOR i IN 1 .. 10 LOOP
                 FOR j IN 1 .. 9500 LOOP
                     BEGIN
                         INSERT INTO public.burnt VALUES (10600 + (i - 1) * 9500 + j);
                     EXCEPTION WHEN division_by_zero THEN NULL;
                     END;
                 END LOOP;
             END LOOP;
         END $$",
    );
}

/// The tables of the schema and their TOAST tables, by the names that logs and reports use.
fn names(client: &mut Client) -> BTreeSet<String> {
    let sql = "SELECT 'shop.' || c.relname FROM pg_class AS c
            WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind IN ('r', 'm')
        UNION ALL
        SELECT 'pg_toast.' || t.relname FROM pg_class AS c JOIN pg_class AS t
            ON t.oid = c.reltoastrelid WHERE c.relnamespace = 'shop'::regnamespace";
    rows(client, sql).into_iter().collect()
}

/// The work of autovacuum in its log: `vacuum shop.t1`, `analyze shop.t1`.
fn logged(cluster: &Cluster, names: &BTreeSet<String>) -> BTreeSet<String> {
    let log = std::fs::read_to_string(cluster.scratch().join("data/server.log")).expect("a log");
    let mut found = BTreeSet::new();
    for line in log.lines() {
        for (words, task) in [
            ("automatic vacuum of table \"choice.", "vacuum"),
            ("automatic aggressive vacuum of table \"choice.", "vacuum"),
            ("automatic vacuum to prevent wraparound of table \"choice.", "vacuum"),
            ("automatic aggressive vacuum to prevent wraparound of table \"choice.", "vacuum"),
            ("automatic analyze of table \"choice.", "analyze"),
        ] {
            let Some((_, rest)) = line.split_once(words) else { continue };
            let name = rest.split('"').next().unwrap_or_default();
            if names.contains(name) {
                found.insert(format!("{task} {name}"));
            }
        }
    }
    found
}

/// The work of the runs of maintenance.
fn recorded(client: &mut Client, names: &BTreeSet<String>) -> BTreeSet<String> {
    let sql = "SELECT unnest(CASE WHEN task = 'analyze' THEN ARRAY['analyze ' || object]
            WHEN after ->> 'changed_rows' = '0' AND before ->> 'changed_rows' <> '0'
                AND object NOT LIKE 'pg_toast.%'
                THEN ARRAY['vacuum ' || object, 'analyze ' || object]
            ELSE ARRAY['vacuum ' || object] END)
        FROM crewsnow_ops.maintenance_runs WHERE verdict = 'DONE' AND step > 0";
    rows(client, sql)
        .into_iter()
        .filter(|work| work.split_once(' ').is_some_and(|(_, name)| names.contains(name)))
        .collect()
}

#[test]
fn maintenance_takes_the_tables_that_autovacuum_takes() {
    let settings = "autovacuum = off\nmax_connections = 30\nsynchronous_commit = off";
    let mut cluster = Cluster::start("choice", settings);
    let mut a = cluster.create_database("choice");
    run(&mut a, "CREATE SCHEMA shop");
    let mut random = Random(16);
    for number in 0..TABLES {
        make_table(&mut a, &mut random, number);
        if number == TABLES / 2 {
            grow_old(&mut a);
        }
    }
    run(&mut a, "SELECT pg_stat_force_next_flush()");
    let names = names(&mut a);
    drop(a);
    cluster.stop("fast");
    let busy = "autovacuum = on\nautovacuum_naptime = 1s\nautovacuum_max_workers = 3\n\
        autovacuum_vacuum_cost_delay = 0\nlog_autovacuum_min_duration = 0";
    let copy = Cluster::copy("choice_copy", &cluster, busy);
    cluster.boot();

    let mut a = cluster.connect("choice");
    // A refreshed view needs VACUUM again, and autovacuum refreshes none.
    run(&mut a, "DELETE FROM crewsnow_ops.matview_refreshes");
    // One call may change a threshold: VACUUM counts the rows of the table anew. Each call also
    // takes transaction ids, so that tables grow older here than in the copy: no call is in vain.
    let mut ours = BTreeSet::new();
    for _ in 0..5 {
        let report = value(&mut a, "SELECT run_performance_maintenance()");
        assert!(report.ends_with("Performance maintenance completed"), "{report}");
        let all = recorded(&mut a, &names);
        if all.len() == ours.len() {
            break;
        }
        ours = all;
    }
    assert!(ours.len() > 100, "many tables need work: {}", ours.len());
    for kind in ["vacuum shop.", "analyze shop.", "vacuum pg_toast."] {
        assert!(ours.iter().any(|work| work.starts_with(kind)), "{kind}");
    }
    let end = Instant::now() + Duration::from_secs(90);
    while !ours.is_subset(&logged(&copy, &names)) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(200));
    }
    // Two more rounds of autovacuum find nothing else.
    std::thread::sleep(Duration::from_secs(4));
    let theirs = logged(&copy, &names);
    let (missed, added): (Vec<_>, Vec<_>) =
        (theirs.difference(&ours).collect(), ours.difference(&theirs).collect());
    assert!(missed.is_empty() && added.is_empty(), "missed {missed:?}, added {added:?}");
    println!("the same work on {} of {} tables", ours.len(), names.len());
}
