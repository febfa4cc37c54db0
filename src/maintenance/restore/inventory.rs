//! The items of a database: the same SQL reads the source, in this session, and the restored
//! database, with psql.

use super::item::{CONTENT, Item, Reading, SEQUENCE_VALUE, Scope};
use crate::access::as_owner;
use crate::pg::error::ServerError;
use crate::pg::xact::sec_context::{self, as_table_owner};
use crate::pg::xact::session_settings::with_settings;
use crate::pg::xact::subtransaction::{Failure, rolled_back, undone};
use pgrx::prelude::*;
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;

/// Settings under which values and definitions have one text form each.
const SETTINGS: [(&CStr, &CStr); 12] = [
    (c"constraint_exclusion", c"off"),
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"datestyle", c"ISO, MDY"),
    (c"intervalstyle", c"postgres"),
    (c"extra_float_digits", c"3"),
    (c"timezone", c"UTC"),
    (c"bytea_output", c"hex"),
    (c"xmloption", c"content"),
    (c"lc_monetary", c"C"),
    (c"quote_all_identifiers", c"off"),
    (c"row_security", c"off"),
    (c"default_transaction_read_only", c"on"),
];

/// Queries that return one item as JSON in each row.
const DEFINITIONS: [&str; 12] = [
    include_str!("../../../sql/maintenance/restore_schemas.sql"),
    include_str!("../../../sql/maintenance/restore_types.sql"),
    include_str!("../../../sql/maintenance/restore_relations.sql"),
    include_str!("../../../sql/maintenance/restore_sequences.sql"),
    include_str!("../../../sql/maintenance/restore_constraints.sql"),
    include_str!("../../../sql/maintenance/restore_indexes.sql"),
    include_str!("../../../sql/maintenance/restore_functions.sql"),
    include_str!("../../../sql/maintenance/restore_policies.sql"),
    include_str!("../../../sql/maintenance/restore_grants.sql"),
    include_str!("../../../sql/maintenance/restore_other_objects.sql"),
    include_str!("../../../sql/maintenance/restore_comments.sql"),
    include_str!("../../../sql/maintenance/restore_collation_versions.sql"),
];

/// Items that only a backup of the whole server carries.
const CLUSTER: &str = include_str!("../../../sql/maintenance/restore_cluster.sql");

/// A query that returns the statement for each content.
const CONTENTS: &str = include_str!("../../../sql/maintenance/restore_contents.sql");

/// A query that returns the statement for each check of amcheck.
const CHECKS: &str = include_str!("../../../sql/maintenance/restore_checks.sql");

/// Makes amcheck available in a restored database, after the definitions are read. Restored event
/// triggers do not fire on it.
const WITH_AMCHECK: &str = "SET session_replication_role = replica;\n\
                            SET default_transaction_read_only = off;\n\
                            DO $$ DECLARE t name; BEGIN FOR t IN SELECT evtname \
                            FROM pg_event_trigger LOOP EXECUTE \
                            format('ALTER EVENT TRIGGER %I DISABLE', t); END LOOP; END $$;\n\
                            CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA pg_catalog;\n";

fn definitions(scopes: &[Scope]) -> impl Iterator<Item = &'static str> {
    DEFINITIONS.into_iter().chain(scopes.contains(&Scope::Cluster).then_some(CLUSTER))
}

/// Items and the statements that read further ones, from lines of JSON.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The items.
    pub items: Vec<Item>,
    /// The statements. Their lines go to [`Inventory::add_line`], too.
    pub readings: Vec<Reading>,
}

impl Inventory {
    /// Adds a line of psql or a row of a query. 22023 for a line of another form.
    pub fn add_line(&mut self, line: &str, scope: Scope) -> Result<(), ServerError> {
        self.add(line, &[scope])
    }

    fn add(&mut self, line: &str, scopes: &[Scope]) -> Result<(), ServerError> {
        const UNREADABLE: ServerError = ServerError::UnreadableJson("a line of an inventory");
        if line.trim().is_empty() {
            return Ok(());
        }
        // The lines of statements alone have a key `sql`.
        let value: serde_json::Value = serde_json::from_str(line).map_err(|_| UNREADABLE)?;
        if value.get("sql").is_some() {
            let reading = Reading::parse(line, scopes).map_err(|_| UNREADABLE)?;
            self.readings.extend(reading);
        } else {
            self.items.push(serde_json::from_value(value).map_err(|_| UNREADABLE)?);
        }
        Ok(())
    }
}

/// A script for `psql -X -f` that prints each definition, and then the statements for contents, one
/// line of JSON each. psql needs `PGCLIENTENCODING=UTF8`.
#[must_use]
pub fn definitions_script(scope: Scope) -> String {
    let mut script = script_head();
    for sql in definitions(&[scope]).chain([CONTENTS]) {
        script.push_str(sql.trim_end());
        script.push_str("\n;\n");
    }
    script
}

/// A script for `psql -X -f` that installs amcheck in the restored database and prints the
/// statements of its checks, one line of JSON each. No line means that there is no amcheck.
/// [`contents_script`] makes a script of them.
#[must_use]
pub fn checks_script() -> String {
    format!("{}{WITH_AMCHECK}{}\n;\n", script_head(), CHECKS.trim_end())
}

/// Deals readings, the longest ones first, to at most so many sessions. Each has one at least.
#[must_use]
pub fn shares(readings: &[Reading], sessions: usize) -> Vec<Vec<Reading>> {
    let mut shares = vec![Vec::new(); sessions.clamp(1, readings.len().max(1))];
    let count = shares.len();
    for (n, reading) in readings.iter().enumerate() {
        // To and fro: the first session gets the longest one, and the last of the next round.
        let place = if n / count % 2 == 0 { n % count } else { count - 1 - n % count };
        shares[place].push(reading.clone());
    }
    shares
}

/// A script for `psql -X -f` that prints the content of each table and sequence, one line of JSON
/// each. One that cannot be read gets an item with its SQLSTATE, and the script goes on.
#[must_use]
pub fn contents_script(readings: &[Reading]) -> String {
    let mut script = script_head();
    for reading in readings {
        let name = quoted(&reading.name);
        let kind = quoted(&reading.kind);
        script.push_str(&format!(
            "{}\n;\n\\if :ERROR\nSELECT pg_catalog.jsonb_build_object('kind', {kind}, 'name', \
             {name}, 'parent', {name}, 'sqlstate', :'SQLSTATE')::pg_catalog.text;\n\\endif\n",
            reading.sql
        ));
    }
    script
}

/// A literal of SQL in a script of psql, which replaces no variables within quotes.
pub fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{text}'")
}

fn script_head() -> String {
    let mut head = "\\set QUIET on\n\\set VERBOSITY sqlstate\n\\set ON_ERROR_STOP off\n\
                    \\pset format unaligned\n\\pset tuples_only on\n\\pset pager off\n\
                    SET statement_timeout = 0;\nSET client_min_messages = error;\n"
        .to_owned();
    for (name, value) in SETTINGS {
        let value = value.to_string_lossy();
        let value = value.split(", ").map(quoted).collect::<Vec<_>>().join(", ");
        head.push_str(&format!("SET {} = {value};\n", name.to_string_lossy()));
    }
    head
}

/// The definitions of this database under the active snapshot, and the statements for its contents.
pub fn source_definitions(scope: Scope) -> Result<Inventory, ServerError> {
    read_definitions(&[scope])
}

fn read_definitions(scopes: &[Scope]) -> Result<Inventory, ServerError> {
    with_settings(&SETTINGS, || {
        let mut inventory = Inventory::default();
        for sql in definitions(scopes).chain([CONTENTS]) {
            undone(|| {
                Spi::connect(|client| {
                    for row in client.select(sql, None, &[])? {
                        inventory.add(&row.get::<String>(1)?.unwrap_or_default(), scopes)?;
                    }
                    Ok::<_, ServerError>(())
                })
            })?;
        }
        Ok(inventory)
    })
}

/// Contents of this database under the active snapshot. One that cannot be read gets an item with
/// its SQLSTATE. Each lock is given back: thousands would fill the server's table of locks.
pub fn source_contents(readings: &[Reading]) -> Result<Vec<Item>, ServerError> {
    with_settings(&SETTINGS, || readings.iter().map(source_content).collect())
}

/// The items of this database under the active snapshot, for backups of either scope.
pub fn manifest() -> Result<Vec<Item>, ServerError> {
    let mut inventory = read_definitions(&[Scope::Dump, Scope::Cluster])?;
    inventory.items.extend(source_contents(&inventory.readings)?);
    Ok(inventory.items)
}

/// The definitions of this database and the values of its sequences, with the statements for the
/// contents of its tables. Values of sequences are in no snapshot, so that a test of a fresh dump
/// reads them before pg_dump does.
pub fn source_before_dump(scope: Scope) -> Result<Inventory, ServerError> {
    let mut inventory = source_definitions(scope)?;
    let readings = std::mem::take(&mut inventory.readings);
    let (sequences, tables): (Vec<_>, Vec<_>) =
        readings.into_iter().partition(|reading| reading.kind == SEQUENCE_VALUE);
    inventory.items.extend(source_contents(&sequences)?);
    inventory.readings = tables;
    Ok(inventory)
}

/// The answers of amcheck about the indexes of this database; `None` if it has no amcheck. Other
/// sessions may read and write meanwhile.
pub fn source_checks() -> Result<Option<Vec<Item>>, ServerError> {
    with_settings(&SETTINGS, || {
        let mut readings = Vec::new();
        let mut is_installed = false;
        Spi::connect(|client| {
            for row in client.select(CHECKS, None, &[])? {
                is_installed = true;
                let line = row.get::<String>(1)?.unwrap_or_default();
                let reading = Reading::parse_source(&line)
                    .map_err(|_| ServerError::UnreadableJson("the checks of amcheck"))?;
                readings.extend(reading);
            }
            Ok::<_, ServerError>(())
        })?;
        let items = readings.iter().map(source_content).collect::<Result<_, _>>()?;
        Ok(is_installed.then_some(items))
    })
}

/// A table as the role that tests sees it.
struct Table {
    owner: pg_sys::Oid,
    /// Whether that role may read all of its rows.
    is_readable: bool,
    /// Whether the planner evaluates expressions of its indexes or statistics.
    has_expressions: bool,
}

/// The table of this name; `None` if there is none. Looks as the owner of the extension: a role
/// without USAGE on a schema may not look up a name in it.
fn table(name: &str) -> Result<Option<Table>, ServerError> {
    let sql = include_str!("../../../sql/maintenance/restore_table.sql");
    let role = sec_context::current_role();
    as_owner(|| {
        Spi::connect(|client| {
            let row = client.select(sql, Some(1), &[name.into(), role.into()])?.next();
            let Some(row) = row else { return Ok(None) };
            let owner = row.get::<pg_sys::Oid>(1)?.unwrap_or(pg_sys::InvalidOid);
            Ok(Some(Table {
                owner,
                is_readable: row.get::<bool>(2)?.unwrap_or(false),
                has_expressions: row.get::<bool>(3)?.unwrap_or(true),
            }))
        })
    })
}

fn source_content(reading: &Reading) -> Result<Item, ServerError> {
    // Its lock keeps the table's files as they are between both queries.
    let read = || {
        Spi::connect(|client| {
            let line = client.select(&reading.sql, None, &[])?.first().get_one::<String>()?;
            let is_rewritten = include_str!("../../../sql/maintenance/restore_is_rewritten.sql");
            let files = client.select(is_rewritten, None, &[reading.name.as_str().into()])?;
            Ok::<_, ServerError>((line, files.first().get_one::<bool>()?.unwrap_or(false)))
        })
    };
    let line = match table(&reading.name)? {
        Some(table) if !table.is_readable => {
            let item = Item::unreadable(&reading.kind, &reading.name, "42501");
            return Ok(Item { scope: reading.scope, ..item });
        }
        Some(table) if table.has_expressions => as_table_owner(table.owner, read),
        // An owner may lack a privilege that the role has.
        _ => rolled_back(AssertUnwindSafe(read)),
    };
    let item = match line.map_err(Failure::rethrow_interrupt) {
        Ok(read) => {
            let (line, is_rewritten) = read?;
            let item: Item = serde_json::from_str(&line.unwrap_or_default())
                .map_err(|_| ServerError::UnreadableJson("the content of a table"))?;
            Item { is_rewritten: is_rewritten && item.kind == CONTENT, ..item }
        }
        Err(failure) => Item::unreadable(&reading.kind, &reading.name, &failure.state()),
    };
    Ok(Item { scope: reading.scope, ..item })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_on_after_a_table_that_cannot_be_read() {
        let reading = |name: &str| Reading {
            kind: CONTENT.to_owned(),
            name: name.to_owned(),
            sql: format!("SELECT 1 FROM {name}"),
            scope: None,
        };
        let script = contents_script(&[reading("a.\"it's \\ :x\""), reading("a.b")]);
        assert_eq!(script.matches("\\if :ERROR").count(), 2);
        assert!(script.contains("E'a.\"it''s \\\\ :x\"'"), "{script}");
        assert!(script.contains("SET search_path = E'pg_catalog', E'pg_temp';"), "{script}");
    }

    #[test]
    fn each_reading_is_dealt_once() {
        let reading = |n: usize| Reading {
            kind: "index check".to_owned(),
            name: n.to_string(),
            sql: String::new(),
            scope: None,
        };
        for (count, sessions) in [(0, 2), (1, 2), (2, 2), (7, 2), (7, 3), (7, 1), (7, 0)] {
            let readings: Vec<_> = (0..count).map(reading).collect();
            let dealt = shares(&readings, sessions);
            let mut all: Vec<_> = dealt.concat();
            all.sort_by(|a, b| a.name.cmp(&b.name));
            assert_eq!(all, readings, "{count} to {sessions}");
            let most = dealt.iter().map(Vec::len).max().unwrap_or_default();
            assert!(dealt.iter().all(|share| share.len() + 1 >= most), "{count} to {sessions}");
        }
    }

    #[test]
    fn lines_are_items_or_statements() {
        let mut inventory = Inventory::default();
        let lines = [
            r#"{"kind":"table","name":"a.b","definition":{"owner":"x"}}"#,
            r#"{"kind":"content","name":"a.b","sql":"S","dump_sql":"D"}"#,
            r#"{"kind":"content","name":"a.b","rows":1,"hash":"2"}"#,
            "",
        ];
        for line in lines {
            inventory.add_line(line, Scope::Dump).expect("a line");
        }
        assert_eq!((inventory.items.len(), inventory.readings.len()), (2, 1));
        assert!(inventory.add_line("ERROR", Scope::Dump).is_err());
        assert!(inventory.add_line("{\"name\":1}", Scope::Dump).is_err());
    }

    #[test]
    fn only_a_base_backup_is_asked_for_roles() {
        assert!(definitions_script(Scope::Cluster).contains("pg_roles"));
        assert!(!definitions_script(Scope::Dump).contains("pg_roles"));
    }
}
