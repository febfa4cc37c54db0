//! The columns of a check: the report reads them by position, so each query must return all eight.

use crate::maintenance_schedule::with_cron;
use harness::{Cluster, explain, root, run, value};
use postgres::types::Type;
use std::path::PathBuf;

/// Columns of a check, in this order. All are text.
const COLUMNS: [&str; 8] = [
    "status",
    "object",
    "current_value",
    "threshold",
    "evidence",
    "recommendation",
    "next_command",
    "since",
];

/// The queries of all checks: those of fast and full, and the one that both reports share.
fn checks() -> Vec<PathBuf> {
    let health = root().join("sql/health");
    let mut checks = vec![health.join("sequences.sql")];
    for directory in ["fast", "full"] {
        let entries = std::fs::read_dir(health.join(directory)).expect("the checks");
        checks.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    checks.sort();
    checks
}

/// The query with its shared expressions, and with a number for each limit.
fn filled(sql: &str) -> String {
    let parts = root().join("sql/health/parts");
    let is_name = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || "_.".contains(c))
    };
    let mut filled = String::new();
    let mut pieces = sql.split('@').peekable();
    filled += pieces.next().unwrap_or_default();
    while let Some(name) = pieces.next() {
        if !is_name(name) || pieces.peek().is_none() {
            filled += &format!("@{name}");
            continue;
        }
        let part = std::fs::read_to_string(parts.join(format!("{name}.sql")));
        filled += &match (part, name) {
            (Ok(part), _) => format!("\n{}\n", self::filled(&part)),
            (_, "row_limit") => "ALL".to_owned(),
            _ => "1".to_owned(),
        };
        filled += pieces.next().unwrap_or_default();
    }
    filled
}

// passes before: it reads the files of checks, which are those of the present.
#[test]
fn every_check_returns_the_columns_of_a_finding() {
    let (_cluster, mut client) = with_cron("health_columns", "").unwrap_or_else(|| {
        let cluster = Cluster::start("health_columns", "");
        let client = cluster.create_database("health");
        (cluster, client)
    });
    let has_cron = value(&mut client, "SELECT to_regclass('cron.job') IS NOT NULL") == "t";
    run(&mut client, "SET search_path = pg_catalog, pg_temp");
    let mut checks = checks();
    checks.retain(|path| has_cron || !path.display().to_string().contains(".cron."));
    assert!(checks.len() > 45, "{} checks were found", checks.len());
    let mut wrong = Vec::new();
    for path in checks {
        let sql = filled(&std::fs::read_to_string(&path).expect("a check"));
        // Parameters: the oids to examine, and processes; or earlier counters, their time, and
        // current counters.
        let parameters = match &sql {
            sql if sql.starts_with("-- $1 oid[]") => &[Type::OID_ARRAY, Type::INT4_ARRAY][..],
            sql if sql.starts_with("-- $1 processes") => {
                &[Type::INT4_ARRAY, Type::INT8_ARRAY, Type::INT8]
            }
            _ => &[Type::JSONB, Type::TIMESTAMPTZ, Type::JSONB],
        };
        let columns: Vec<_> = match client.prepare_typed(&sql, parameters) {
            Ok(statement) => statement
                .columns()
                .iter()
                .map(|column| (column.name().to_owned(), column.type_().clone()))
                .collect(),
            Err(error) => {
                wrong.push(format!("{}: {}", path.display(), explain(&error)));
                continue;
            }
        };
        let expected: Vec<_> =
            COLUMNS.iter().map(|name| ((*name).to_owned(), Type::TEXT)).collect();
        if columns != expected {
            wrong.push(format!("{}: {columns:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
