//! What is found out once, before the checks: what there is to look with, the counters of now and earlier, the tables.

use super::checks::registry::Query;
use super::checks::tables::Tables;
use super::finding::{Finding, Status};
use super::mask::mask_evidence;
use super::sample::{Counters, Earlier, Surroundings};
use crate::health::error::HealthError;
use crate::pg::fmgr::raw_arg::Jsonb;
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;

/// Each that could not be found out says why.
pub struct Known {
    /// What this server and caller have to offer.
    pub surroundings: Surroundings,
    /// The counters of now.
    pub now: Result<Counters, String>,
    /// Earlier ones.
    pub earlier: Option<Earlier>,
    /// The tables.
    pub tables: Result<Tables, String>,
}

impl Known {
    /// What a query finds, with earlier counters, their time and those of now bound where it takes them.
    pub fn ask(&self, metric: &'static str, query: &Query) -> Result<Vec<Finding>, HealthError> {
        let sql = self.surroundings.choose(query.sql, query.better).replace("@most@", query.most);
        if !sql.contains("$3") {
            return ask(metric, &sql, &[]);
        }
        let now = match &self.now {
            Ok(now) => now,
            Err(why) => return Ok(vec![Finding::skipped(metric, why.clone())]),
        };
        let arguments = [
            Jsonb::bind(self.earlier.as_ref().map(|earlier| Jsonb::parse(&earlier.counters.text))),
            self.earlier.as_ref().map(|earlier| earlier.taken_at).into(),
            Jsonb::bind(Some(Jsonb::parse(&now.text))),
        ];
        ask(metric, &sql, &arguments)
    }
}

/// The rows of a check's query.
pub fn ask(
    metric: &'static str,
    sql: &str,
    arguments: &[DatumWithOid<'_>],
) -> Result<Vec<Finding>, HealthError> {
    Spi::connect(|client| {
        let mut findings = Vec::new();
        for row in client.select(sql, None, arguments)? {
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
