//! Reads acceptances and the latest recorded audit.

use super::model::Severity;
use crate::access::as_owner;
use crate::rls::error::RlsError;
use pgrx::prelude::*;
use std::collections::BTreeMap;

/// An operator's acceptance of a finding.
pub struct Acceptance {
    /// Reason as the operator gave it.
    pub reason: String,
    /// Expiry, as SQL text.
    pub until: String,
    /// Role that accepted.
    pub by: String,
    /// Severity of the finding at that time.
    pub severity: Severity,
}

/// Acceptances that have not expired, by finding.
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

/// The most recent recorded audit.
pub struct Latest {
    /// Checklist requirements that were not met.
    pub unmet: i32,
    /// Age in seconds.
    pub age: i64,
    /// The worst finding without an acceptance; `None` if there is none.
    pub worst: Option<String>,
}

/// The most recent recorded audit; `None` if none is recorded.
pub fn latest() -> Result<Option<Latest>, RlsError> {
    as_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(include_str!("../../sql/rls/latest_run.sql"), Some(1), &[])?;
            if rows.is_empty() {
                return Ok(None);
            }
            let row = rows.first();
            Ok(Some(Latest { unmet: row.get(1)?.unwrap_or(0), age: row.get(2)?.unwrap_or(0), worst: row.get(3)? }))
        })
    })
}
