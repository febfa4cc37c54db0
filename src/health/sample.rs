//! The server's counters, now and in earlier samples, so that reports cover the last minutes
//! instead of the whole lifetime.

use crate::access::as_owner;
use crate::health::error::HealthError;
use crate::health::heartbeat;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::select_kept;
use crate::pg::xact::session::require_writable;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::collections::HashSet;

/// The extension, as a key of [`Capabilities`].
pub(super) const PG_STAT_STATEMENTS: &str = "pg_stat_statements";

/// A caller that may read these samples may read those of the statements, too.
pub(super) const HEALTH_SAMPLES: &str = "crewsnow_ops.health_samples";

/// Objects that are missing on some servers or forbidden to some callers.
const OPTIONAL_OBJECTS: [&str; 9] = [
    PG_STAT_STATEMENTS,
    "pg_stat_checkpointer",
    "pg_ls_waldir",
    "pg_ls_archive_statusdir",
    "pg_file_settings",
    "crewsnow_ops.matview_refreshes",
    "cron.job_run_details",
    "crewsnow_ops.maintenance_runs",
    HEALTH_SAMPLES,
];

/// The optional objects that exist and that the caller may use.
#[derive(Default)]
pub(super) struct Capabilities {
    usable: HashSet<String>,
    /// The quoted schema of pg_stat_statements; `None` if the caller cannot read it.
    statements_schema: Option<String>,
}

impl Capabilities {
    pub(super) fn read() -> Result<Self, HealthError> {
        let mut capabilities = Self::default();
        let names: Vec<_> = OPTIONAL_OBJECTS.iter().map(|name| (*name).to_owned()).collect();
        let sql = include_str!("../../sql/health/usable_objects.sql");
        select_kept(sql, &[names.into()], |rows| {
            for row in rows {
                let Some(name) = row.get::<String>(1)? else { continue };
                if name == PG_STAT_STATEMENTS {
                    capabilities.statements_schema = row.get::<String>(2)?;
                }
                capabilities.usable.insert(name);
            }
            Ok::<_, HealthError>(capabilities)
        })
    }

    pub(super) fn has(&self, object: &str) -> bool {
        self.usable.contains(object)
    }

    /// The preferred query if the caller can use the object that it needs, else the plain one.
    /// The schema of pg_stat_statements is filled in.
    pub(super) fn choose(&self, plain: &str, preferred: Option<(&str, &str)>) -> String {
        let sql = preferred.filter(|(object, _)| self.has(object)).map_or(plain, |(_, sql)| sql);
        sql.replace("@pgss@", self.statements_schema.as_deref().unwrap_or("pg_catalog"))
    }
}

/// An earlier sample of pg_stat_statements: arrays of equal length. All are `None` without one.
#[derive(Default)]
pub(super) struct StatementSample {
    taken_at: Option<TimestampWithTimeZone>,
    queryids: Option<Vec<i64>>,
    databases: Option<Vec<pg_sys::Oid>>,
    calls: Option<Vec<i64>>,
    milliseconds: Option<Vec<f64>>,
}

impl StatementSample {
    /// The parameters `$1` to `$5` of the queries that compare with a sample.
    pub(super) fn arguments(&self) -> [DatumWithOid<'static>; 5] {
        [
            self.queryids.clone().into(),
            self.databases.clone().into(),
            self.calls.clone().into(),
            self.milliseconds.clone().into(),
            self.taken_at.into(),
        ]
    }
}

/// The server's counters of now, as a JSON object.
pub(super) fn read_counters(capabilities: &Capabilities) -> Result<String, HealthError> {
    let checkpoints = capabilities.choose(
        include_str!("../../sql/health/checkpoint_counters.sql"),
        Some((
            "pg_stat_checkpointer",
            include_str!("../../sql/health/checkpoint_counters.pg_stat_checkpointer.sql"),
        )),
    );
    let sql =
        include_str!("../../sql/health/sample_counters.sql").replace("@checkpoints@", &checkpoints);
    select_kept(&sql, &[], |rows| Ok(rows.first().get::<String>(1)?.unwrap_or_default()))
}

/// Totals of pg_stat_statements and its slow statements, as a JSON object. Slow statements are
/// those of the time since `earlier`. The object is empty if the caller cannot read the extension.
pub(super) fn statement_totals(
    capabilities: &Capabilities,
    earlier: &StatementSample,
) -> Result<String, HealthError> {
    if !capabilities.has(PG_STAT_STATEMENTS) {
        return Ok("{}".to_owned());
    }
    let sql = capabilities
        .choose(include_str!("../../sql/health/statement_totals.pg_stat_statements.sql"), None);
    select_kept(&sql, &earlier.arguments(), |totals| {
        Ok(if totals.is_empty() {
            "{}".to_owned()
        } else {
            totals.first().get::<String>(1)?.unwrap_or_default()
        })
    })
}

/// Merges two JSON objects. If the second is missing, the reason takes its place.
pub(super) fn merge_counters(counters: &str, statement_totals: Result<String, String>) -> String {
    let statement_totals = statement_totals
        .unwrap_or_else(|reason| serde_json::json!({ "statements_failed": reason }).to_string());
    match (counters.strip_suffix('}'), statement_totals.strip_prefix('{')) {
        (Some(counters), Some(totals)) if totals.trim() != "}" => format!("{counters}, {totals}"),
        _ => counters.to_owned(),
    }
}

/// Counters as JSON.
pub(super) struct Counters {
    /// A parameter of queries.
    pub(super) text: String,
    pub(super) parsed: serde_json::Value,
}

impl Counters {
    /// Invalid JSON counts as JSON null, which has no counters.
    pub(super) fn new(text: String) -> Self {
        let parsed = serde_json::from_str(&text).unwrap_or_default();
        Self { text, parsed }
    }
}

/// A row of crewsnow_ops.health_samples.
pub(super) struct CounterSample {
    pub(super) taken_at: TimestampWithTimeZone,
    pub(super) counters: Counters,
    pub(super) age_seconds: f64,
}

/// `None` if the caller may not read samples, or if none has a suitable age.
pub(super) fn read_earlier_counters(
    capabilities: &Capabilities,
) -> Result<Option<CounterSample>, HealthError> {
    if !capabilities.has(HEALTH_SAMPLES) {
        return Ok(None);
    }
    select_kept(include_str!("../../sql/health/earlier_health_sample.sql"), &[], |sample| {
        if sample.is_empty() {
            return Ok(None);
        }
        let sample = sample.first();
        let (Some(taken_at), Some(text), Some(age_seconds)) =
            (sample.get(1)?, sample.get::<String>(2)?, sample.get(3)?)
        else {
            return Ok(None);
        };
        Ok(Some(CounterSample { taken_at, counters: Counters::new(text), age_seconds }))
    })
}

/// An empty sample if the caller may not read samples, or if none has a suitable age.
pub(super) fn read_earlier_statements(
    capabilities: &Capabilities,
) -> Result<StatementSample, HealthError> {
    if !capabilities.has(HEALTH_SAMPLES) {
        return Ok(StatementSample::default());
    }
    select_kept(include_str!("../../sql/health/earlier_statement_sample.sql"), &[], |sample| {
        if sample.is_empty() {
            return Ok(StatementSample::default());
        }
        let sample = sample.first();
        Ok(StatementSample {
            taken_at: sample.get(1)?,
            queryids: sample.get(2)?,
            databases: sample.get(3)?,
            calls: sample.get(4)?,
            milliseconds: sample.get(5)?,
        })
    })
}

/// See the COMMENT on the SQL function.
///
/// SQLSTATE 25006 (read-only transaction or standby).
#[pg_extern(schema = "crewsnow_ops", requires = ["health"])]
#[search_path(pg_catalog, pg_temp)]
fn sample_health() -> Result<bool, ErrorReport> {
    require_writable("take a sample")?;
    heartbeat::beat()?;
    let taken = as_owner(|| {
        let capabilities = Capabilities::read()?;
        let totals = statement_totals(&capabilities, &StatementSample::default())?;
        let counters = merge_counters(&read_counters(&capabilities)?, Ok(totals));
        spi::connect_mut(|client| {
            let sql = include_str!("../../sql/health/write_health_sample.sql");
            let taken = !client.update(sql, None, &[counters.into()])?.is_empty();
            if taken && capabilities.has(PG_STAT_STATEMENTS) {
                let statements = capabilities.choose(
                    "",
                    Some((
                        PG_STAT_STATEMENTS,
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
    use crate::health::sample::merge_counters;

    #[test]
    fn missing_statement_totals_leave_their_reason() {
        let merged = |totals: Result<&str, &str>| {
            merge_counters(r#"{"a": {"b": 1}}"#, totals.map(str::to_owned).map_err(str::to_owned))
        };
        assert_eq!(merged(Ok("{}")), r#"{"a": {"b": 1}}"#);
        assert_eq!(merged(Ok(r#"{"c": 2}"#)), r#"{"a": {"b": 1}, "c": 2}"#);
        assert_eq!(merged(Err("a \"b\"")), r#"{"a": {"b": 1}, "statements_failed":"a \"b\""}"#);
    }
}
