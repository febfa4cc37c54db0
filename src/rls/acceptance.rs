//! Accepting findings: the SQL function and its checks.

use super::model::{Finding, Severity};
use super::report::acceptances::{of_table, severity_of_table};
use super::report::audit_report::Report;
use crate::access::as_owner;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::xact::session;
use crate::rls::error::RlsError;
use crate::suggest::similar;
use crate::time::minute::DAY;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

const EXAMPLE: &str = "SELECT crewsnow_ops.accept_finding('public.stations', \
    'ski resorts are public', now() + interval '90 days');";

/// Accepts a finding, or the public content of a table, for a time. See the COMMENT on the SQL
/// function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (no reason, expiry in the past or more than a year away),
/// 42704 (unknown finding, nothing to accept), 25006 (read-only).
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
    let report = Report::make()?;
    let accepted = named(&report, finding)?;
    let by = session::user();
    as_owner(|| {
        spi::connect_mut(|client| {
            let (findings, severities): (Vec<String>, Vec<String>) =
                accepted.into_iter().map(|(key, word)| (key, word.as_str().to_owned())).unzip();
            let arguments =
                [findings.into(), by.into(), reason.into(), expires_at.into(), severities.into()];
            client.update(include_str!("../../sql/rls/accept.sql"), None, &arguments)?;
            Ok::<_, RlsError>(())
        })
    })?;
    Ok(())
}

/// The findings to accept, each with its severity: one, all of a cause, or one for a table.
fn named(report: &Report, name: &str) -> Result<Vec<(String, Severity)>, RlsError> {
    let mut parts: Vec<usize> =
        report.causes_named(name).iter().flat_map(|cause| cause.parts.clone()).collect();
    if parts.is_empty() {
        // Findings are sorted: the first of several with the name is the worst.
        parts.extend(report.findings.iter().position(|finding| finding.key() == name));
    }
    if !parts.is_empty() {
        let mut found: Vec<(String, Severity)> = parts
            .into_iter()
            .map(|part| (report.findings[part].key(), report.findings[part].severity))
            .collect();
        found.sort();
        found.dedup_by(|other, first| other.0 == first.0);
        return Ok(found);
    }
    let plain = name.strip_prefix("table ").unwrap_or(name);
    let table = report.audit.tables.iter().map(|(table, _)| table).find(|table| {
        table.named.name == plain || table.named.name.strip_prefix("public.") == Some(plain)
    });
    let Some(table) = table else {
        let mut known: Vec<String> = report.findings.iter().map(Finding::key).collect();
        known.extend(report.causes.iter().map(|cause| cause.key.clone()));
        known.extend(report.audit.tables.iter().map(|(table, _)| table.named.name.clone()));
        let near = similar(name, known.iter().map(String::as_str));
        return Err(RlsError::UnknownFinding { finding: name.to_owned(), similar: near });
    };
    let relation = table.oid().to_u32();
    let covered: Vec<&Finding> = report
        .findings
        .iter()
        .filter(|finding| {
            finding.relation == Some(relation) && report.accepted.is_readable(finding)
        })
        .collect();
    let Some(severity) = severity_of_table(&covered) else {
        let of = report.findings.iter().filter(|finding| finding.relation == Some(relation));
        let near = of.take(3).map(Finding::key).collect();
        return Err(RlsError::NotReadable { table: table.named.name.clone(), findings: near });
    };
    if let Some(open) = report.accepted.void_because(&table.named.name) {
        warning!("the acceptance of {} is void while {open} is open", table.named.name);
    }
    Ok(vec![(of_table(&table.named.name), severity)])
}
