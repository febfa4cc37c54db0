//! Accepts findings, records audits, and compares an audit with a recorded one.

use super::engine::cell::{Cell, worst_cells};
use super::model::{Finding, Reach, Verdict};
use super::report::audit_report::Report;
use crate::access::as_owner;
use crate::pg::builtins;
use crate::pg::error::ServerError;
use crate::pg::xact::{sec_context, session};
use crate::rls::error::RlsError;
use crate::suggest::similar;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

const EXAMPLE: &str = "SELECT crewsnow_ops.accept_finding('public-read policy \"Stations are public\" on public.stations', 'ski resorts are public', now() + interval '90 days');";

/// Accepts a finding for a time. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (no reason, a time that is past or more than a year away), 42704 (no such finding), 25006
/// (read-only).
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
    let now = crate::pg::clock::now();
    let until = expires_at.into_inner();
    if until <= now || until > now + 366 * crate::time::minute::DAY {
        return Err(RlsError::InvalidExpiry { example: EXAMPLE }.into());
    }
    let found = Report::make()?.findings;
    // The worst comes first, where several have the name.
    let Some(severity) = found.iter().find(|known| known.key() == finding).map(|known| known.severity.as_str()) else {
        let known: Vec<String> = found.iter().map(Finding::key).collect();
        let near = similar(finding, known.iter().map(String::as_str));
        return Err(RlsError::UnknownFinding { finding: finding.to_owned(), similar: near }.into());
    };
    let by = session::user();
    as_owner(|| {
        Spi::connect_mut(|client| {
            let arguments = [finding.into(), by.into(), reason.into(), expires_at.into(), severity.into()];
            client.update(include_str!("../../sql/rls/accept.sql"), None, &arguments)?;
            Ok::<_, RlsError>(())
        })
    })?;
    Ok(())
}

/// What was not looked at, or could not be told: tables, and rules. That a finding of theirs is missing says nothing.
fn untold(report: &Report) -> [Vec<String>; 2] {
    let is_untold = |cell: &Cell| matches!(cell.verdict, Verdict::Inconclusive(_));
    let tables = report.audit.tables.iter().filter(|(_, cells)| cells.iter().any(is_untold));
    let rules = report.findings.iter().filter(|finding| finding.rule == "inconclusive");
    [
        tables.map(|(table, _)| table.named.name.clone()).collect(),
        rules.filter_map(|finding| finding.object.strip_prefix("rule ").map(str::to_owned)).collect(),
    ]
}

/// What drift is about: findings and verdicts, as columns.
fn columns(report: &Report) -> Vec<DatumWithOid<'static>> {
    let open: Vec<&Finding> = report.findings.iter().filter(|finding| finding.rule != "inconclusive").collect();
    let mut keys: Vec<(String, String)> = open.iter().map(|f| (f.key(), f.severity.as_str().to_owned())).collect();
    keys.sort();
    keys.dedup_by(|a, b| a.0 == b.0);
    let (findings, severities): (Vec<String>, Vec<String>) = keys.into_iter().unzip();
    let (mut relations, mut reaches, mut roles, mut verdicts, mut conditions) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (table, cells) in &report.audit.tables {
        for ((reach, role), cell) in worst_cells(cells) {
            relations.push(table.named.name.clone());
            reaches.push(reach.rule().to_owned());
            roles.push(sec_context::role_name(pg_sys::Oid::from(role)));
            verdicts.push(cell.verdict.as_str().to_owned());
            conditions.push(anybody(&format!("USING {} WITH CHECK {}", cell.using, cell.check)));
        }
    }
    vec![
        findings.into(),
        severities.into(),
        relations.into(),
        reaches.into(),
        roles.into(),
        verdicts.into(),
        conditions.into(),
    ]
}

/// A condition without who it was asked as.
fn anybody(condition: &str) -> String {
    let mut parts = condition.split("user ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_hash = part.len() >= 8 && part.as_bytes()[..8].iter().all(u8::is_ascii_hexdigit);
        text += if is_hash { "me" } else { "user " };
        text += if is_hash { &part[8..] } else { part };
    }
    text
}

/// Keeps an audit. See the COMMENT on the SQL function.
///
/// SQLSTATE 25006 (read-only).
#[pg_extern(schema = "crewsnow_ops", requires = ["rls"])]
#[search_path(pg_catalog, pg_temp)]
fn record_rls_audit() -> Result<pgrx::Uuid, ErrorReport> {
    session::require_writable("keep an audit")?;
    let report = Report::make()?;
    let unmet = report.checklist().iter().filter(|requirement| requirement.status != "SECURE").count() as i32;
    let run = builtins::new_uuid();
    let by = session::user();
    as_owner(|| {
        Spi::connect_mut(|client| {
            let mut arguments: Vec<DatumWithOid<'_>> = vec![run.into(), by.into()];
            arguments.extend(columns(&report));
            arguments.push(unmet.into());
            client.update(include_str!("../../sql/rls/keep_run.sql"), None, &arguments)?;
            Ok::<_, RlsError>(())
        })
    })?;
    Ok(run)
}

/// What is not as it was. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn rls_drift(p_run: Option<pgrx::Uuid>) -> Result<crate::pg::fmgr::srf::QueryRows, ErrorReport> {
    let report = Report::make()?;
    let answer = as_owner(|| {
        let mut arguments: Vec<DatumWithOid<'_>> = vec![p_run.into()];
        arguments.extend(columns(&report));
        arguments.extend(untold(&report).map(DatumWithOid::from));
        // Rules whose findings are verdicts on a table.
        let told = Reach::ALL.iter().map(|reach| reach.rule()).chain(super::report::audit_report::OPEN.iter().copied());
        let told: Vec<String> =
            told.chain(["public-read", "exempt-role", "failing-policies"]).map(str::to_owned).collect();
        arguments.push(told.into());
        Ok::<_, RlsError>(crate::pg::fmgr::srf::QueryRows::of(include_str!("../../sql/rls/drift.sql"), &arguments))
    })?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_do_not_say_as_whom() {
        assert_eq!(anybody("(owner = 'user 2bd88dfe'::uuid)"), "(owner = 'me'::uuid)");
        assert_eq!(anybody("(kind = 'user account') OR user "), "(kind = 'user account') OR user ");
    }
}
