//! Functions of other roles that a restore or a comparison would run with its own privileges.

use super::client::{self, Connection};
use super::error::RestoreError;
use super::verdict::{Finding, Findings, Level};
use crate::settings;
use pgrx::prelude::*;
use serde::Deserialize;
use std::path::Path;

const SQL: &str = include_str!("../../../sql/maintenance/restore_foreign_code.sql");
/// The statement that lets a test go on.
pub const TRUST: &str = "SET crewsnow_ops.restore_trusts_owners = on;";
/// Findings of one look.
const MAX_FOUND: usize = 20;

/// An expression that calls a function which must not run here.
#[derive(Debug, Deserialize)]
struct ForeignCode {
    kind: String,
    name: String,
    function: String,
    /// The owner of the function; `None` for a built-in that is volatile or runs SQL.
    owner: Option<String>,
}

impl ForeignCode {
    fn finding(self) -> Finding {
        let Self { kind, name, function, owner } = self;
        let text = match owner {
            Some(owner) => format!(
                "{kind} calls {function} of role {owner}, which would run with the privileges of \
                 the test"
            ),
            None => format!("{kind} calls {function}, which may run any function"),
        };
        Finding::new(Level::Restores, text).of(name).with_command(TRUST)
    }
}

/// Adds what was found; whether there is any.
fn add(lines: &[String], findings: &mut Findings) -> bool {
    let found = lines.iter().filter_map(|line| serde_json::from_str::<ForeignCode>(line).ok());
    found.take(MAX_FOUND).for_each(|code| findings.skip(code.finding()));
    !lines.is_empty()
}

/// Whether this database has such code.
pub fn is_in_source(findings: &mut Findings) -> Result<bool, RestoreError> {
    if settings::restore_trusts_owners() {
        return Ok(false);
    }
    let mut lines = Vec::new();
    Spi::connect(|client| {
        for row in client.select(SQL, None, &[])? {
            lines.extend(row.get::<String>(1)?);
        }
        Ok::<_, RestoreError>(())
    })?;
    Ok(add(&lines, findings))
}

/// Whether a restored database has such code. `directory` is for the script.
pub fn is_restored(
    connection: &Connection,
    database: &str,
    directory: &Path,
    deadline: i64,
    findings: &mut Findings,
) -> Result<bool, RestoreError> {
    if settings::restore_trusts_owners() {
        return Ok(false);
    }
    let script = directory.join("foreign_code.sql");
    std::fs::write(
        &script,
        format!("\\set ON_ERROR_STOP on\nSET search_path = pg_catalog, pg_temp;\n{SQL};\n"),
    )
    .map_err(|error| RestoreError::unwritable(&script, &error))?;
    let mut lines = Vec::new();
    let exit = client::run_script(connection, database, &script, deadline, |line| {
        if !line.is_empty() {
            lines.push(line.to_owned());
        }
    })?;
    client::require_success("psql", &exit)?;
    Ok(add(&lines, findings))
}
