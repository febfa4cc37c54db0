//! Facts read once before the checks run, and the SQL that a check runs with them.

use super::error::HealthError;
use super::finding::{Finding, Status};
use super::limits::filled;
use super::mask::mask_evidence;
use super::parts;
use super::sample::{Capabilities, CounterSample, Counters};
use super::table_summary::TableSummary;
use crate::pg::fmgr::raw_arg::Jsonb;
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;

/// A check's query. It returns `status, object, current_value, threshold, evidence,
/// recommendation, next_command, since`, all text.
pub(super) struct Query {
    pub(super) sql: &'static str,
    /// The value of `@row_limit@`: how many objects a costly query reads at most, or ALL.
    pub(super) row_limit: &'static str,
    /// An optional object, and the query to run instead if the caller can use that object.
    pub(super) preferred: Option<(&'static str, &'static str)>,
}

/// `Err` holds the reason why a fact is unknown.
pub(super) struct CheckContext {
    pub(super) capabilities: Capabilities,
    /// The server's counters of now.
    pub(super) counters: Result<Counters, String>,
    /// `None` without a sample that the caller may read.
    pub(super) earlier: Option<CounterSample>,
    pub(super) tables: Result<TableSummary, String>,
}

impl CheckContext {
    /// Runs a check's query. A query with a `$3` gets the earlier counters, their time and the
    /// counters of now.
    pub(super) fn run(
        &self,
        metric: &'static str,
        query: &Query,
    ) -> Result<Vec<Finding>, HealthError> {
        let sql = self
            .capabilities
            .choose(query.sql, query.preferred)
            .replace("@row_limit@", query.row_limit);
        if !sql.contains("$3") {
            return run_query(metric, &sql, &[]);
        }
        let counters = match &self.counters {
            Ok(counters) => counters,
            Err(reason) => return Ok(vec![Finding::skipped(metric, reason.clone())]),
        };
        let arguments = [
            Jsonb::bind(self.earlier.as_ref().map(|earlier| Jsonb::parse(&earlier.counters.text))),
            self.earlier.as_ref().map(|earlier| earlier.taken_at).into(),
            Jsonb::bind(Some(Jsonb::parse(&counters.text))),
        ];
        run_query(metric, &sql, &arguments)
    }
}

/// One finding per row of a check's query, with its limits filled in and the literals in its
/// evidence masked.
pub(super) fn run_query(
    metric: &'static str,
    sql: &str,
    arguments: &[DatumWithOid<'_>],
) -> Result<Vec<Finding>, HealthError> {
    Spi::connect(|client| {
        let mut findings = Vec::new();
        for row in client.select(filled(&parts::expanded(sql)).as_str(), None, arguments)? {
            let text = |column| row.get::<String>(column);
            findings.push(Finding {
                metric,
                status: Status::parse(&text(1)?.unwrap_or_default()),
                object: text(2)?,
                current_value: text(3)?,
                threshold: text(4)?,
                evidence: text(5)?.map(|evidence| mask_evidence(&evidence)),
                recommendation: text(6)?,
                next_command: text(7)?,
                since: text(8)?,
            });
        }
        Ok(findings)
    })
}
