//! Earlier values of the server's counters, so that reports speak of the last minutes instead of its whole life.

use super::checks::registry::STATEMENTS;
use crate::access::as_owner;
use crate::health::error::HealthError;
use crate::pg::xact::session::require_writable;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::collections::HashSet;

/// What a server and a caller have to offer to the checks.
#[derive(Default)]
pub struct Surroundings {
    usable: HashSet<String>,
    /// The schema of pg_stat_statements, quoted, where it can be read.
    statements_schema: Option<String>,
}

/// Objects that some servers or callers do not have.
const OPTIONAL: [&str; 7] = [
    STATEMENTS,
    "pg_stat_checkpointer",
    "pg_ls_waldir",
    "pg_ls_archive_statusdir",
    "pg_file_settings",
    "crewsnow_ops.matview_refreshes",
    SAMPLES,
];

/// Who may read these may read the statements' too.
const SAMPLES: &str = "crewsnow_ops.health_samples";

impl Surroundings {
    /// Looks around, as the current user.
    pub fn read() -> Result<Self, HealthError> {
        let mut surroundings = Self::default();
        let names: Vec<_> = OPTIONAL.iter().map(|name| (*name).to_owned()).collect();
        Spi::connect(|client| {
            for row in client.select(
                include_str!("../../sql/health/usable_objects.sql"),
                None,
                &[names.into()],
            )? {
                let Some(name) = row.get::<String>(1)? else { continue };
                if name == STATEMENTS {
                    surroundings.statements_schema = row.get::<String>(2)?;
                }
                surroundings.usable.insert(name);
            }
            Ok::<_, HealthError>(surroundings)
        })
    }

    /// Whether the caller can use an object.
    pub fn has(&self, object: &str) -> bool {
        self.usable.contains(object)
    }

    /// The better query where the caller can use what it needs, else the plain one; ready to run.
    pub fn choose(&self, plain: &str, better: Option<(&str, &str)>) -> String {
        let sql = better.filter(|(object, _)| self.has(object)).map_or(plain, |(_, sql)| sql);
        sql.replace("@pgss@", self.statements_schema.as_deref().unwrap_or("pg_catalog"))
    }
}

/// Entries of pg_stat_statements at some time: numbers, databases, calls, milliseconds.
#[derive(Default)]
pub struct Statements {
    taken_at: Option<TimestampWithTimeZone>,
    queryids: Option<Vec<i64>>,
    databases: Option<Vec<pg_sys::Oid>>,
    calls: Option<Vec<i64>>,
    milliseconds: Option<Vec<f64>>,
}

impl Statements {
    /// As a query takes them, NULLs where there is none.
    pub fn arguments(&self) -> [DatumWithOid<'static>; 5] {
        [
            self.queryids.clone().into(),
            self.databases.clone().into(),
            self.calls.clone().into(),
            self.milliseconds.clone().into(),
            self.taken_at.into(),
        ]
    }
}

/// The server's counters of now, as JSON.
pub fn counters(surroundings: &Surroundings) -> Result<String, HealthError> {
    let checkpoints = surroundings.choose(
        include_str!("../../sql/health/checkpoint_counters.sql"),
        Some((
            "pg_stat_checkpointer",
            include_str!("../../sql/health/checkpoint_counters.pg_stat_checkpointer.sql"),
        )),
    );
    let sql =
        include_str!("../../sql/health/sample_counters.sql").replace("@checkpoints@", &checkpoints);
    Spi::connect(|client| {
        Ok(client.select(sql.as_str(), Some(1), &[])?.first().get::<String>(1)?.unwrap_or_default())
    })
}

/// What pg_stat_statements has counted, as JSON, since an earlier sample of it where there is one; nothing where it cannot be read.
pub fn statement_totals(
    surroundings: &Surroundings,
    earlier: &Statements,
) -> Result<String, HealthError> {
    if !surroundings.has(STATEMENTS) {
        return Ok("{}".to_owned());
    }
    let sql = surroundings
        .choose(include_str!("../../sql/health/statement_totals.pg_stat_statements.sql"), None);
    Spi::connect(|client| {
        let totals = client.select(sql.as_str(), Some(1), &earlier.arguments())?;
        Ok(if totals.is_empty() {
            "{}".to_owned()
        } else {
            totals.first().get::<String>(1)?.unwrap_or_default()
        })
    })
}

/// Two JSON objects as one; instead of the second why it is missing.
pub fn joined(counters: &str, of_statements: Result<String, String>) -> String {
    let of_statements = of_statements
        .unwrap_or_else(|why| serde_json::json!({ "statements_failed": why }).to_string());
    match (counters.strip_suffix('}'), of_statements.strip_prefix('{')) {
        (Some(counters), Some(more)) if more.trim() != "}" => format!("{counters}, {more}"),
        _ => counters.to_owned(),
    }
}

/// Counters as JSON: as queries take them, and to be looked at here.
pub struct Counters {
    /// As text.
    pub text: String,
    /// The same.
    pub parsed: serde_json::Value,
}

impl Counters {
    /// What is no JSON has no counters.
    pub fn new(text: String) -> Self {
        let parsed = serde_json::from_str(&text).unwrap_or_default();
        Self { text, parsed }
    }
}

/// A sample of before.
pub struct Earlier {
    /// When it was taken.
    pub taken_at: TimestampWithTimeZone,
    /// What it has.
    pub counters: Counters,
    /// How old it is, in seconds.
    pub age: f64,
}

/// Earlier counters, if the caller may read them and there are any.
pub fn earlier(surroundings: &Surroundings) -> Result<Option<Earlier>, HealthError> {
    if !surroundings.has(SAMPLES) {
        return Ok(None);
    }
    Spi::connect(|client| {
        let sample = client.select(
            include_str!("../../sql/health/earlier_health_sample.sql"),
            Some(1),
            &[],
        )?;
        if sample.is_empty() {
            return Ok(None);
        }
        let sample = sample.first();
        let (taken_at, text, age) = (sample.get(1)?, sample.get(2)?, sample.get(3)?);
        let of = |((taken_at, text), age)| Earlier { taken_at, counters: Counters::new(text), age };
        Ok(taken_at.zip(text).zip(age).map(of))
    })
}

/// An earlier sample of statements; an empty one if the caller may not read them or there is none.
pub fn statements(surroundings: &Surroundings) -> Result<Statements, HealthError> {
    if !surroundings.has(SAMPLES) {
        return Ok(Statements::default());
    }
    Spi::connect(|client| {
        let sample = client.select(
            include_str!("../../sql/health/earlier_statement_sample.sql"),
            Some(1),
            &[],
        )?;
        if sample.is_empty() {
            return Ok(Statements::default());
        }
        let sample = sample.first();
        Ok(Statements {
            taken_at: sample.get(1)?,
            queryids: sample.get(2)?,
            databases: sample.get(3)?,
            calls: sample.get(4)?,
            milliseconds: sample.get(5)?,
        })
    })
}

/// Takes a sample. See the COMMENT on the SQL function.
///
/// SQLSTATE 25006 (read-only).
#[pg_extern(schema = "crewsnow_ops", requires = ["health"])]
#[search_path(pg_catalog, pg_temp)]
fn sample_health() -> Result<bool, ErrorReport> {
    require_writable("take a sample")?;
    let taken = as_owner(|| {
        let surroundings = Surroundings::read()?;
        let totals = statement_totals(&surroundings, &Statements::default())?;
        let counters = joined(&counters(&surroundings)?, Ok(totals));
        Spi::connect_mut(|client| {
            let sql = include_str!("../../sql/health/write_health_sample.sql");
            let taken = !client.update(sql, None, &[counters.into()])?.is_empty();
            if taken && surroundings.has(STATEMENTS) {
                let statements = surroundings.choose(
                    "",
                    Some((
                        STATEMENTS,
                        include_str!("../../sql/health/sample_statements.pg_stat_statements.sql"),
                    )),
                );
                let sql = include_str!("../../sql/health/write_statement_sample.sql")
                    .replace("@sample@", &statements);
                client.update(sql.as_str(), None, &[])?;
            }
            client.update(include_str!("../../sql/health/prune_health_samples.sql"), None, &[])?;
            Ok::<_, HealthError>(taken)
        })
    })?;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use crate::health::sample::joined;

    #[test]
    fn what_is_joined() {
        let joined = |of_statements: Result<&str, &str>| {
            joined(r#"{"a": {"b": 1}}"#, of_statements.map(str::to_owned).map_err(str::to_owned))
        };
        assert_eq!(joined(Ok("{}")), r#"{"a": {"b": 1}}"#);
        assert_eq!(joined(Ok(r#"{"c": 2}"#)), r#"{"a": {"b": 1}, "c": 2}"#);
        assert_eq!(joined(Err("a \"b\"")), r#"{"a": {"b": 1}, "statements_failed":"a \"b\""}"#);
    }
}
