//! Stored acceptances and audit runs, as reports and the dashboard read them.

use super::model::Severity;
use crate::access::as_owner;
use crate::rls::error::RlsError;
use pgrx::prelude::*;
use std::collections::BTreeMap;

/// Rules that report that a table's rows are readable: the acceptance of the table covers them.
pub const READABLE: &[&str] =
    &["public-read", "read-leak", "rls-off", "partition-without-rls", "policy-name-lies"];

/// An operator's statement that a finding is intended.
#[derive(Clone)]
pub struct Acceptance {
    /// Reason, as the operator gave it.
    pub reason: String,
    /// Expiry, as SQL shows it.
    pub until: String,
    /// Author (session_user).
    pub by: String,
    /// Severity of the finding at that time. A finding that became worse is not accepted.
    pub severity: Severity,
}

/// The acceptances in force, by finding or table.
pub fn acceptances() -> Result<BTreeMap<String, Acceptance>, RlsError> {
    as_owner(|| {
        Spi::connect(|client| {
            let mut accepted = BTreeMap::new();
            for row in client.select(include_str!("../../sql/rls/acceptances.sql"), None, &[])? {
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                let acceptance = Acceptance {
                    reason: text(2)?,
                    until: text(3)?,
                    by: text(4)?,
                    severity: Severity::parse(&text(5)?),
                };
                accepted.insert(text(1)?, acceptance);
            }
            Ok(accepted)
        })
    })
}

/// The latest stored audit.
pub struct Latest {
    /// Number of requirements that were not SECURE.
    pub unmet: i32,
    /// Age in seconds.
    pub age: i64,
    /// The worst finding without an acceptance.
    pub worst: Option<String>,
    /// Whether it has a verdict; an audit of an empty database has none.
    pub has_verdicts: bool,
}

/// The latest stored audit, if there is one.
pub fn latest() -> Result<Option<Latest>, RlsError> {
    as_owner(|| {
        Spi::connect(|client| {
            let readable: Vec<&str> = READABLE.to_vec();
            let sql = include_str!("../../sql/rls/latest_run.sql");
            let rows = client.select(sql, Some(1), &[readable.into()])?;
            if rows.is_empty() {
                return Ok(None);
            }
            let row = rows.first();
            Ok(Some(Latest {
                unmet: row.get(1)?.unwrap_or(0),
                age: row.get(2)?.unwrap_or(0),
                worst: row.get(3)?,
                has_verdicts: row.get(4)?.unwrap_or(false),
            }))
        })
    })
}
