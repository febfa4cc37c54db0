//! Time that has passed without waiting for it.

use crate::{run, value};
use postgres::Client;

/// Lets time pass in this database: all times of sessions, locks and prepared transactions move
/// into the past by the interval.
pub fn let_time_pass(client: &mut Client, interval: &str) {
    run(
        client,
        "SET allow_system_table_mods = on; CREATE TABLE IF NOT EXISTS original_views (name text \
         PRIMARY KEY, definition text)",
    );
    for (view, columns) in [
        ("pg_stat_activity", &["s.xact_start", "s.query_start", "s.state_change"][..]),
        ("pg_prepared_xacts", &["p.prepared"]),
        ("pg_locks", &["l.waitstart"]),
    ] {
        let keep = format!(
            "INSERT INTO original_views VALUES ('{view}', \
             pg_get_viewdef('pg_catalog.{view}'::regclass)) ON CONFLICT DO NOTHING"
        );
        run(client, &keep);
        let mut definition =
            value(client, &format!("SELECT definition FROM original_views WHERE name = '{view}'"));
        for column in columns {
            let (_, name) = column.split_once('.').expect("a column of a function");
            // PostgreSQL 18 omits the prefix where it is not needed.
            let written = [column, name]
                .into_iter()
                .flat_map(|column| [",", "\n"].map(|end| (column, format!(" {column}{end}"), end)))
                .find(|(_, written, _)| definition.contains(written));
            let (column, written, end) =
                written.unwrap_or_else(|| panic!("{column} in {definition}"));
            let shifted = format!(" {column} - interval '{interval}' AS {name}{end}");
            definition = definition.replacen(&written, &shifted, 1);
        }
        run(client, &format!("CREATE OR REPLACE VIEW pg_catalog.{view} AS {definition}"));
    }
}
