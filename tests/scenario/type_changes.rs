//! One session fires the triggers of a table while a column changes its type, also in a transaction
//! that is rolled back. A value read by the type of before would be another value, or a crash
//! (CVE-2026-6460).

use harness::{Cluster, rows, run, value};
use postgres::Client;

/// A table with triggers of the extension.
struct Table {
    name: &'static str,
    /// Fires the triggers.
    fire: &'static [&'static str],
    /// Returns one row: the column `extra` of each copy that the triggers made or passed on.
    copies: &'static str,
    /// The number of copies.
    count: usize,
}

const TABLES: [Table; 3] = [
    Table {
        name: "feature_flags",
        fire: &[
            "UPDATE feature_flags SET rollout_percentage = (rollout_percentage + 1) % 100
                WHERE flag_key = 'tracker_pro'",
            "SELECT update_feature_flag('tracker_pro', true, 7)",
            "SELECT is_feature_enabled_for_user('tracker_pro', gen_random_uuid())",
        ],
        copies: "SELECT f.extra::text, h.after ->> 'extra', h.before ->> 'extra'
            FROM feature_flags AS f, LATERAL (
                SELECT after, before FROM crewsnow_ops.flag_history
                WHERE flag_key = f.flag_key ORDER BY changed_at DESC LIMIT 1) AS h
            WHERE flag_key = 'tracker_pro'",
        count: 3,
    },
    Table {
        name: "event_log",
        fire: &[
            "SELECT log_system_event('typed', p_function_name => 'f')",
            "INSERT INTO event_log (event_type, endpoint) VALUES ('typed', '/rides')",
            "UPDATE event_log SET endpoint = NULL WHERE endpoint IS NOT NULL",
            "SELECT * FROM crewsnow_ops.roll_up_events()",
        ],
        copies: "SELECT min(extra::text), max(extra::text), min(extra::text) FILTER (
                WHERE function_name = 'f') FROM event_log WHERE event_type = 'typed'",
        count: 3,
    },
    Table {
        name: "crewsnow_ops.criteria",
        fire: &[
            "UPDATE crewsnow_ops.criteria SET weight = weight + 1 WHERE name = 'payments'",
            "UPDATE crewsnow_ops.criteria SET weight = weight - 1 WHERE name = 'payments'",
            "SELECT * FROM make_go_no_go_decision()",
        ],
        copies: "SELECT extra::text FROM crewsnow_ops.criteria WHERE name = 'payments'
            AND original IS NULL AND changed_at IS NOT NULL",
        count: 1,
    },
];

/// Changes of the column `extra`, each with its value as text. `true` is rolled back.
const CHANGES: [(&str, &str, bool); 8] = [
    ("ADD COLUMN extra bigint NOT NULL DEFAULT 1234567890123", "1234567890123", true),
    ("ADD COLUMN extra text NOT NULL DEFAULT 'alps'", "alps", false),
    ("ALTER extra TYPE name", "alps", true),
    (
        "ALTER extra DROP DEFAULT, ALTER extra TYPE int USING 42, ALTER extra SET DEFAULT 42",
        "42",
        true,
    ),
    (
        "ALTER extra DROP DEFAULT, ALTER extra TYPE bigint USING 43, ALTER extra SET DEFAULT 43",
        "43",
        false,
    ),
    ("ALTER extra TYPE numeric", "43", false),
    ("ALTER extra TYPE text USING repeat('long ', 500)", LONG, true),
    ("ALTER extra TYPE text", "43", false),
];
/// Stands for a value of 2,500 characters.
const LONG: &str = "long";

fn fire_and_check(client: &mut Client, table: &Table, change: &str, expected: &str) {
    for statement in table.fire {
        run(client, statement);
    }
    let found = rows(client, table.copies).concat();
    let found: Vec<&str> = found.split('|').collect();
    assert_eq!(found.len(), table.count, "{} after {change}", table.name);
    for copy in found {
        let is_right = if expected == LONG {
            copy == "long ".repeat(500) || copy == "43"
        } else {
            copy == expected
        };
        assert!(is_right, "{} after {change}: {copy}", table.name);
    }
}

// passes before: the server builds each composite value of a trigger, by the present type
#[test]
fn triggers_read_rows_by_their_present_type() {
    let cluster = Cluster::start("types", "");
    for table in &TABLES {
        let database = table.name.replace('.', "_");
        let mut a = cluster.create_database(&database);
        let mut other = cluster.connect(&database);
        for statement in table.fire {
            run(&mut a, statement);
            run(&mut other, statement);
        }
        let backend = value(&mut a, "SELECT pg_backend_pid()");
        for (change, expected, is_rolled_back) in CHANGES {
            run(&mut a, "BEGIN");
            if table.name == "event_log" {
                run(&mut a, "TRUNCATE event_log");
            }
            run(&mut a, &format!("ALTER TABLE {} {change}", table.name));
            fire_and_check(&mut a, table, change, expected);
            if is_rolled_back {
                run(&mut a, "ROLLBACK");
                for statement in table.fire {
                    run(&mut a, statement);
                }
            } else {
                run(&mut a, "COMMIT");
                fire_and_check(&mut a, table, change, expected);
                fire_and_check(&mut other, table, change, expected);
            }
        }
        assert_eq!(value(&mut a, "SELECT pg_backend_pid()"), backend, "the same session");
    }
}
