//! Accepting findings: the SQL function and its checks.

use super::model::Finding;
use super::report::audit_report::Report;
use crate::access::as_owner;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::xact::session;
use crate::rls::error::RlsError;
use crate::suggest::similar;
use crate::time::minute::DAY;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

const EXAMPLE: &str = "SELECT crewsnow_ops.accept_finding('public-read policy \"Stations are \
    public\" on public.stations', 'ski resorts are public', now() + interval '90 days');";

/// Accepts a finding for a time. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (no reason, expiry in the past or more than a year away),
/// 42704 (unknown finding), 25006 (read-only).
#[pg_extern(schema = "crewsnow_ops", requires = ["rls"])]
#[search_path(pg_catalog, pg_temp)]
fn accept_finding(
    p_finding: Option<&str>,
    p_reason: Option<&str>,
    p_expires_at: Option<TimestampWithTimeZone>,
) -> Result<(), ErrorReport> {
    session::require_writable("accept a finding")?;
    let null = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let finding = p_finding.ok_or_else(|| null("p_finding"))?;
    let reason = p_reason.ok_or_else(|| null("p_reason"))?.trim();
    let expires_at = p_expires_at.ok_or_else(|| null("p_expires_at"))?;
    if reason.is_empty() {
        return Err(RlsError::NoReason { example: EXAMPLE }.into());
    }
    let now = clock::now();
    let until = expires_at.into_inner();
    if until <= now || until > now + 366 * DAY {
        return Err(RlsError::InvalidExpiry { example: EXAMPLE }.into());
    }
    let found = Report::make()?.findings;
    // Findings are sorted: the first of several with the name is the worst.
    let Some(severity) =
        found.iter().find(|known| known.key() == finding).map(|known| known.severity.as_str())
    else {
        let known: Vec<String> = found.iter().map(Finding::key).collect();
        let near = similar(finding, known.iter().map(String::as_str));
        return Err(RlsError::UnknownFinding { finding: finding.to_owned(), similar: near }.into());
    };
    let by = session::user();
    as_owner(|| {
        Spi::connect_mut(|client| {
            let arguments =
                [finding.into(), by.into(), reason.into(), expires_at.into(), severity.into()];
            client.update(include_str!("../../sql/rls/accept.sql"), None, &arguments)?;
            Ok::<_, RlsError>(())
        })
    })?;
    Ok(())
}
