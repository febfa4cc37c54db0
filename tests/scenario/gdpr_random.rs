//! Random policies on random tables: the preview counts exactly the rows that the run changes, and
//! these are the rows that an independent query finds.

use crate::gdpr::{COMPLETED, RUN};
use harness::random::Random;
use harness::{Cluster, rows, run, value};
use postgres::Client;

const ROUNDS: usize = 20;
const POLICIES: usize = 50;

/// A policy, and a query for the rows that it must leave, by their ids.
struct Case {
    name: String,
    survivors: String,
    action: &'static str,
}

/// Makes a table with rows around the cutoff, and a policy on it.
fn make(a: &mut Client, random: &mut Random, number: usize) -> Case {
    let name = format!("t{number}");
    let type_ = *random.pick(&["timestamptz", "timestamp", "date"]);
    let keep = 1 + random.below(60);
    let count = random.below(120);
    let action = *random.pick(&["delete", "delete", "anonymise"]);
    let is_partitioned = random.percent(25);
    let partition = if is_partitioned { " PARTITION BY HASH (id)" } else { "" };
    run(
        a,
        &format!(
            "CREATE TABLE {name} (id int, at {type_}, held boolean, mail text, PRIMARY KEY (id))
             {partition}"
        ),
    );
    if is_partitioned {
        for part in 0..3 {
            let sql = format!(
                "CREATE TABLE {name}_{part} PARTITION OF {name}
                 FOR VALUES WITH (MODULUS 3, REMAINDER {part})"
            );
            run(a, &sql);
        }
    }
    if random.percent(50) {
        run(a, &format!("CREATE INDEX ON {name} (at)"));
    }
    // Hours and a half, so that no row expires between preview and run.
    run(
        a,
        &format!(
            "INSERT INTO {name}
             SELECT n, CASE WHEN n % 17 = 0 THEN NULL WHEN n % 19 = 0 THEN 'infinity'
                WHEN n % 23 = 0 THEN '-infinity' ELSE now() AT TIME ZONE 'UTC'
                    - (n * 7919 % (48 * {keep}) + 0.5) * interval '1 hour' END::{type_},
                CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN true ELSE false END,
                CASE WHEN n % 7 = 0 THEN 'gone' ELSE 'm' || n END
             FROM generate_series(1, {count}) AS n"
        ),
    );
    let hold =
        *random.pick(&["NULL", "held", "{}.held AND id > 10", "held IS NOT FALSE OR id < 9"]);
    let hold = hold.replace("{}", &name);
    let has_child = action == "delete" && random.percent(40);
    if has_child {
        run(
            a,
            &format!(
                "CREATE TABLE child_{name} (parent int REFERENCES {name});
                 INSERT INTO child_{name} SELECT id FROM {name} WHERE id % 3 = 0"
            ),
        );
    }
    let replacements = if action == "anonymise" { "'{\"mail\": \"gone\"}'" } else { "NULL" };
    let quoted = if hold == "NULL" { hold.clone() } else { format!("'{hold}'") };
    run(
        a,
        &format!(
            "INSERT INTO crewsnow_ops.retention_policies (name, target, time_column, keep, action,
                replacements, hold, legal_basis, batch_rows)
             VALUES ('{name}', 'public.{name}', 'at', '{keep} days', '{action}', {replacements},
                {quoted}, 'contract', {})",
            1 + random.below(40)
        ),
    );
    // The same rule in other words.
    let boundary = format!("(now() AT TIME ZONE 'UTC' - interval '{keep} days')");
    let old = match type_ {
        "date" => format!("at < {boundary}::date"),
        "timestamp" => format!("at < {boundary}"),
        _ => format!("at < {boundary} AT TIME ZONE 'UTC'"),
    };
    let free =
        if hold == "NULL" { "true".to_owned() } else { format!("coalesce(NOT ({hold}), false)") };
    let is_open = match (action, has_child) {
        ("anonymise", _) => "mail <> 'gone'".to_owned(),
        (_, true) => "id % 3 <> 0".to_owned(),
        (_, false) => "true".to_owned(),
    };
    let survivors = format!(
        "SELECT id FROM {name} WHERE NOT coalesce(isfinite(at) AND {old} AND {free} AND {is_open},
            false) ORDER BY id"
    );
    Case { name, survivors, action }
}

#[test]
fn a_thousand_random_policies_change_exactly_the_previewed_rows() {
    let cluster = Cluster::start("gdpr_random", "");
    let mut a = cluster.create_database("random");
    let mut random = Random(18);
    let mut changed = 0;
    for round in 0..ROUNDS {
        let cases: Vec<Case> = (0..POLICIES)
            .map(|number| make(&mut a, &mut random, round * POLICIES + number))
            .collect();
        let expected: Vec<Vec<String>> =
            cases.iter().map(|case| rows(&mut a, &case.survivors)).collect();
        let all = "SELECT policy, expired FROM crewsnow_ops.preview_retention()
            WHERE policy !~ 'built-in' ORDER BY policy";
        let previewed = rows(&mut a, all);
        assert_eq!(previewed.len(), POLICIES);
        let report = value(&mut a, RUN);
        assert!(report.ends_with(COMPLETED), "{report}");
        let done = "SELECT policy, changed_rows FROM crewsnow_ops.retention_runs
            WHERE policy !~ 'built-in' AND verdict = 'DONE' AND run_id = (SELECT run_id FROM
                crewsnow_ops.retention_runs WHERE step = 0 ORDER BY started_at DESC LIMIT 1)
            ORDER BY policy";
        assert_eq!(rows(&mut a, done), previewed, "the run changes what the preview counts");
        for (case, expected) in cases.iter().zip(&expected) {
            let left = if case.action == "anonymise" {
                case.survivors.clone()
            } else {
                format!("SELECT id FROM {} ORDER BY id", case.name)
            };
            let left = rows(&mut a, &left);
            if case.action == "anonymise" {
                let open = format!("SELECT count(*) - {} FROM {}", left.len(), case.name);
                assert_eq!(value(&mut a, &open), "0", "{}: each row is done", case.name);
            } else {
                assert_eq!(left, *expected, "{}", case.survivors);
            }
        }
        let sum = "SELECT sum(changed_rows) FROM crewsnow_ops.retention_runs";
        changed = value(&mut a, sum).parse().expect("a number");
        run(
            &mut a,
            "DELETE FROM crewsnow_ops.retention_policies;
             DROP SCHEMA IF EXISTS old CASCADE; DO $$ DECLARE t record; BEGIN FOR t IN SELECT c.oid
                FROM pg_class AS c WHERE relname ~ '^(child_)?t[0-9]+$' AND relkind IN ('r', 'p')
                ORDER BY relname LOOP EXECUTE format('DROP TABLE %s', t.oid::regclass);
             END LOOP; END $$",
        );
    }
    assert!(changed > 10_000, "the policies had work: {changed}");
}
