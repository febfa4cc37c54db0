//! The application's end-to-end tests on a restored database.

use super::error::RestoreError;
use super::examination::Restored;
use super::inventory::quoted;
use super::verdict::{Finding, Findings, Level};
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use serde::Deserialize;

/// A script of psql that runs the end-to-end tests of the restored database.
const TESTS: &str = include_str!("../../../sql/maintenance/restore_e2e_tests.sql");

/// Keeps values of settings, which may be secrets, out of the server's log.
const UNLOGGED: &str = "\\set QUIET on\n\\set VERBOSITY sqlstate\nSET log_statement = 'none';\n\
    SET log_min_duration_statement = -1;\nSET log_min_error_statement = 'panic';\n";

/// A line of [`TESTS`].
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Test { test: String, passed: bool, step: Option<String> },
    Failure { sqlstate: String },
}

/// Runs the tests that are registered in the restored database. If `settings_of_source`, it gets
/// the settings of the source database: a dump carries them, but pg_restore only restores them into
/// a database of the same name.
pub fn test(
    restored: &Restored<'_>,
    settings_of_source: bool,
    findings: &mut Findings,
) -> Result<(), RestoreError> {
    if settings_of_source {
        restored.run("settings", &settings_script(restored.database)?, |_| ())?;
    }
    let (mut passed, mut failed) = (0, 0);
    restored.run("tests", TESTS, |line| match serde_json::from_str::<Line>(line) {
        Ok(Line::Test { passed: true, .. }) => passed += 1,
        Ok(Line::Test { test, step, .. }) => {
            failed += 1;
            let step = step.map_or_else(String::new, |step| format!(" in {step}"));
            let text = format!("the end-to-end test fails{step} on the restored database");
            findings.fault(Finding::new(Level::Usable, text).of(test));
        }
        Ok(Line::Failure { sqlstate }) => {
            failed += 1;
            let text = format!("the end-to-end tests cannot run: SQLSTATE {sqlstate}");
            findings.fault(Finding::new(Level::Usable, text));
        }
        Err(_) => {}
    })?;
    if passed > 0 {
        let text = format!("{passed} of {} end-to-end tests pass", passed + failed);
        findings.prove(Level::Usable, text);
    } else if failed == 0 {
        let text = "no end-to-end test is registered in the restored database";
        findings.skip(Finding::new(Level::Usable, text));
    }
    Ok(())
}

/// A script of psql that gives a database the settings of this one. A setting that this server does
/// not take is left out.
fn settings_script(database: &str) -> Result<String, RestoreError> {
    let database = quote_identifier(database);
    let mut script = UNLOGGED.to_owned();
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/restore_settings.sql");
        for row in client.select(sql, None, &[])? {
            let name = row.get::<String>(1)?.unwrap_or_default();
            let value = quoted(&row.get::<String>(2)?.unwrap_or_default());
            let parts = name.split('.').map(quote_identifier).collect::<Vec<_>>().join(".");
            let name = quoted(&name);
            // The form of a list is left to the server.
            script.push_str(&format!(
                "BEGIN;\nSELECT pg_catalog.set_config({name}, {value}, true) \\g /dev/null\n\
                 ALTER DATABASE {database} SET {parts} FROM CURRENT;\nCOMMIT;\n"
            ));
        }
        Ok::<_, RestoreError>(())
    })?;
    Ok(script)
}
