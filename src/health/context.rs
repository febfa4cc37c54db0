//! Facts that several checks share, each read before the first check that needs it, and the SQL
//! that a check runs with them.

use super::error::HealthError;
use super::finding::{Finding, Status};
use super::limits::filled;
use super::mask::mask_evidence;
use super::parts;
use super::sample;
use super::sample::{Capabilities, CounterSample, Counters};
use super::table_summary::TableSummary;
use crate::pg::fmgr::raw_arg::Jsonb;
use crate::pg::fmgr::spi::select_kept;
use crate::pg::xact::timeout::{Stopped, isolated_within};
use pgrx::datum::DatumWithOid;
use std::cell::OnceCell;
use std::time::Duration;

/// A check's query. It returns `status, object, current_value, threshold, evidence,
/// recommendation, next_command, since`, all text.
pub(super) struct Query {
    pub(super) sql: &'static str,
    /// The value of `@row_limit@`: how many objects a costly query reads at most, or ALL.
    pub(super) row_limit: &'static str,
    /// An optional object, and the query to run instead if the caller can use that object.
    pub(super) preferred: Option<(&'static str, &'static str)>,
}

/// A fact that is read when the first check needs it.
pub(super) struct Fact<T> {
    read: OnceCell<T>,
    /// Its value until then.
    unread: T,
}

impl<T> Fact<T> {
    fn new(unread: T) -> Self {
        Self { read: OnceCell::new(), unread }
    }
}

impl<T> std::ops::Deref for Fact<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.read.get().unwrap_or(&self.unread)
    }
}

/// `Err` holds the reason why a fact is unknown.
pub(super) struct CheckContext {
    pub(super) capabilities: Capabilities,
    /// The server's counters of now.
    pub(super) counters: Fact<Result<Counters, String>>,
    /// `None` without a sample that the caller may read.
    pub(super) earlier: Fact<Option<CounterSample>>,
    pub(super) tables: Fact<Result<TableSummary, String>>,
}

/// Native checks that need the summary of all tables, and those that need no fact. The others need
/// the counters.
pub(super) const OF_TABLES: [&str; 2] = ["Autovacuum Lag", "Database Size"];
pub(super) const WITHOUT_FACTS: [&str; 6] = [
    "Disk Space",
    "Health Samples",
    "Idle in Transaction",
    "Invalid Indexes",
    "Multixact Members",
    "Wait Profile",
];

impl CheckContext {
    pub(super) fn new(capabilities: Capabilities) -> Self {
        let unread = || "it was not read".to_owned();
        Self {
            capabilities,
            counters: Fact::new(Err(unread())),
            earlier: Fact::new(None),
            tables: Fact::new(Err(unread())),
        }
    }

    /// Reads the facts that a check needs, each within the limit, unless an earlier check has.
    /// `query` is `None` for a native check. Without a fact the check still runs: over lifetimes.
    pub(super) fn prepare(&self, metric: &str, query: Option<&Query>, limit: Duration) {
        let needs_counters = match query {
            Some(query) => [Some(query.sql), query.preferred.map(|(_, sql)| sql)]
                .into_iter()
                .flatten()
                .any(|sql| sql.contains("$3")),
            None => !OF_TABLES.contains(&metric) && !WITHOUT_FACTS.contains(&metric),
        };
        if needs_counters {
            self.counters.read.get_or_init(|| self.read_counters(limit));
            self.earlier.read.get_or_init(|| {
                run_within(limit, || sample::read_earlier_counters(&self.capabilities))
                    .unwrap_or_default()
            });
        }
        if query.is_none() && OF_TABLES.contains(&metric) {
            self.tables.read.get_or_init(|| run_within(limit, TableSummary::read));
        }
    }

    fn read_counters(&self, limit: Duration) -> Result<Counters, String> {
        let capabilities = &self.capabilities;
        let statements =
            run_within(limit, || sample::read_earlier_statements(capabilities)).unwrap_or_default();
        let totals = run_within(limit, || sample::statement_totals(capabilities, &statements));
        run_within(limit, || sample::read_counters(capabilities))
            .map(|counters| Counters::new(sample::merge_counters(&counters, totals)))
    }

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
        let counters = match &*self.counters {
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
    select_kept(&filled(&parts::expanded(sql)), arguments, |rows| {
        let mut findings = Vec::new();
        for row in rows {
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

/// Runs `work` in a subtransaction for at most `limit`. `Err` is the reason for a SKIPPED row.
/// Interrupts are raised again.
pub(super) fn run_within<R>(
    limit: Duration,
    work: impl FnOnce() -> Result<R, HealthError>,
) -> Result<R, String> {
    match isolated_within(i32::try_from(limit.as_millis()).unwrap_or(i32::MAX), work) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(Stopped::TimedOut(milliseconds)) => {
            Err(format!("it took longer than {milliseconds} ms and was stopped"))
        }
        Err(Stopped::Failed(failure)) => Err(failure.message),
    }
}
