//! Earlier values of the server's counters, so that reports speak of the last minutes instead of its whole life.

use super::checks::STATEMENTS;
use crate::access::as_owner;
use crate::error::OpsError;
use crate::pg::argument::Jsonb;
use crate::pg::session::require_writable;
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
    pub fn read() -> Result<Self, OpsError> {
        let mut surroundings = Self::default();
        let names: Vec<_> = OPTIONAL.iter().map(|name| (*name).to_owned()).collect();
        Spi::connect(|client| {
            for row in client.select(include_str!("../../sql/query/usable_objects.sql"), None, &[names.into()])? {
                let Some(name) = row.get::<String>(1)? else { continue };
                if name == STATEMENTS {
                    surroundings.statements_schema = row.get::<String>(2)?;
                }
                surroundings.usable.insert(name);
            }
            Ok::<_, OpsError>(surroundings)
        })
    }

    /// Whether the caller can use an object.
    pub fn has(&self, object: &str) -> bool {
        self.usable.contains(object)
    }

    /// The better query where the caller can use what it needs, else the plain one; ready to run.
    pub fn choose(&self, plain: &str, better: Option<(&str, &str)>) -> String {
        let sql = better.filter(|(object, _)| self.has(object)).map_or(plain, |(_, sql)| sql);
        sql.replace("@spans@", include_str!("../../sql/health/spans.sql").trim_end())
            .replace("@pgss@", self.statements_schema.as_deref().unwrap_or("pg_catalog"))
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

/// Counters as JSON, as the queries take them, and of statements.
pub struct Counters {
    /// Those of now, or why they could not be read.
    pub now: Result<String, String>,
    /// Earlier ones, and when that was.
    pub earlier: Option<(TimestampWithTimeZone, String)>,
    /// An earlier sample of statements.
    pub statements: Statements,
}

impl Counters {
    /// What a query needs bound: earlier counters, their time and those of now; or an earlier sample of statements; or nothing. `Err`
    /// where what it cannot do without could not be read.
    pub fn arguments(&self, sql: &str) -> Result<Vec<DatumWithOid<'static>>, String> {
        if sql.contains("$5") {
            let statements = &self.statements;
            return Ok(vec![
                statements.queryids.clone().into(),
                statements.databases.clone().into(),
                statements.calls.clone().into(),
                statements.milliseconds.clone().into(),
                statements.taken_at.into(),
            ]);
        }
        if !sql.contains("$3") {
            return Ok(Vec::new());
        }
        Ok(vec![
            Jsonb::bind(self.earlier.as_ref().map(|(_, counters)| Jsonb::parse(counters))),
            self.earlier.as_ref().map(|(taken_at, _)| *taken_at).into(),
            Jsonb::bind(Some(Jsonb::parse(self.now.as_ref().map_err(Clone::clone)?))),
        ])
    }
}

/// The counters of now.
pub fn counters(surroundings: &Surroundings) -> Result<String, OpsError> {
    let checkpoints = surroundings.choose(
        include_str!("../../sql/health/checkpoint_counters.sql"),
        Some(("pg_stat_checkpointer", include_str!("../../sql/health/checkpoint_counters.pg_stat_checkpointer.sql"))),
    );
    let all = include_str!("../../sql/health/sample_counters.sql").replace("@checkpoints@", &checkpoints);
    let totals = surroundings.choose(
        "SELECT NULL::jsonb",
        Some((STATEMENTS, include_str!("../../sql/health/statement_totals.pg_stat_statements.sql"))),
    );
    let sql = format!(
        "SELECT (c.counters || coalesce(s.part, '{{}}'))::text
         FROM ({all}) AS c
         LEFT JOIN (SELECT jsonb_build_object('statements', t.totals) AS part FROM ({totals}) AS t (totals)) AS s
             ON s.part -> 'statements' <> 'null'"
    );
    Spi::connect(|client| Ok(client.select(sql.as_str(), Some(1), &[])?.first().get::<String>(1)?.unwrap_or_default()))
}

/// Earlier counters, if the caller may read them and there are any.
pub fn earlier(surroundings: &Surroundings) -> Result<Option<(TimestampWithTimeZone, String)>, OpsError> {
    if !surroundings.has(SAMPLES) {
        return Ok(None);
    }
    Spi::connect(|client| {
        let sample = client.select(include_str!("../../sql/query/earlier_health_sample.sql"), Some(1), &[])?;
        if sample.is_empty() {
            return Ok(None);
        }
        let sample = sample.first();
        Ok(sample.get::<TimestampWithTimeZone>(1)?.zip(sample.get::<String>(2)?))
    })
}

/// An earlier sample of statements; an empty one if the caller may not read them or there is none.
pub fn statements(surroundings: &Surroundings) -> Result<Statements, OpsError> {
    if !surroundings.has(SAMPLES) {
        return Ok(Statements::default());
    }
    Spi::connect(|client| {
        let sample = client.select(include_str!("../../sql/query/earlier_statement_sample.sql"), Some(1), &[])?;
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
        let counters = counters(&surroundings)?;
        Spi::connect_mut(|client| {
            let sql = include_str!("../../sql/query/write_health_sample.sql");
            let taken = !client.update(sql, None, &[counters.into()])?.is_empty();
            if taken && surroundings.has(STATEMENTS) {
                let statements = surroundings.choose(
                    "",
                    Some((STATEMENTS, include_str!("../../sql/health/sample_statements.pg_stat_statements.sql"))),
                );
                let sql = include_str!("../../sql/query/write_statement_sample.sql").replace("@sample@", &statements);
                client.update(sql.as_str(), None, &[])?;
            }
            client.update(include_str!("../../sql/query/prune_health_samples.sql"), None, &[])?;
            Ok(taken)
        })
    })?;
    Ok(taken)
}
