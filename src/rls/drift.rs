//! Drift: stores an audit and compares a later one with it.

use super::engine::cell::{Cell, worst_cells};
use super::model::{Finding, Reach, Verdict};
use super::report::audit_report::Report;
use super::target::table::Table;
use crate::access::as_owner;
use crate::pg::builtins;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::srf::QueryRows;
use crate::pg::xact::{sec_context, session};
use crate::rls::error::RlsError;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Inconclusive tables and rules: a missing finding of theirs proves nothing.
fn inconclusive(report: &Report) -> [Vec<String>; 2] {
    let is_inconclusive = |cell: &Cell| matches!(cell.verdict, Verdict::Inconclusive(_));
    let is_finding_of = |table: &Table| {
        let relation = Some(table.oid().to_u32());
        let mut findings = report.findings.iter();
        findings.any(|finding| finding.rule == "inconclusive" && finding.relation == relation)
    };
    let tables = report
        .audit
        .tables
        .iter()
        .filter(|(table, cells)| cells.iter().any(is_inconclusive) || is_finding_of(table));
    let rules = report.findings.iter().filter(|finding| finding.rule == "inconclusive");
    [
        tables.map(|(table, _)| table.named.name.clone()).collect(),
        rules
            .filter_map(|finding| finding.object.strip_prefix("rule ").map(str::to_owned))
            .collect(),
    ]
}

/// Findings and verdicts as arrays, one per column.
fn columns(report: &Report) -> Vec<DatumWithOid<'static>> {
    let open: Vec<&Finding> =
        report.findings.iter().filter(|finding| finding.rule != "inconclusive").collect();
    let mut keys: Vec<(String, String)> =
        open.iter().map(|f| (f.key(), f.severity.as_str().to_owned())).collect();
    keys.sort();
    keys.dedup_by(|a, b| a.0 == b.0);
    let (findings, severities): (Vec<String>, Vec<String>) = keys.into_iter().unzip();
    let (mut relations, mut reaches, mut roles, mut verdicts, mut conditions) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (table, cells) in &report.audit.tables {
        let cells = worst_cells(cells).into_iter();
        for ((reach, role), cell) in cells.filter(|(_, cell)| cell.verdict != Verdict::NoAccess) {
            relations.push(table.named.name.clone());
            reaches.push(reach.rule().to_owned());
            roles.push(sec_context::role_name(pg_sys::Oid::from(role)));
            verdicts.push(cell.verdict.as_str().to_owned());
            conditions
                .push(without_user(&format!("USING {} WITH CHECK {}", cell.using, cell.check)));
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

/// A qual with the user hash replaced, so that audits with other sample users compare equal.
fn without_user(condition: &str) -> String {
    let mut parts = condition.split("user ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_hash = part.len() >= 8 && part.as_bytes()[..8].iter().all(u8::is_ascii_hexdigit);
        text += if is_hash { "me" } else { "user " };
        text += if is_hash { &part[8..] } else { part };
    }
    text
}

/// Stores an audit. See the COMMENT on the SQL function.
///
/// SQLSTATE 25006 (read-only).
#[pg_extern(schema = "crewsnow_ops", requires = ["rls"])]
#[search_path(pg_catalog, pg_temp)]
fn record_rls_audit() -> Result<pgrx::Uuid, ErrorReport> {
    session::require_writable("store an audit")?;
    let report = Report::make()?;
    let unmet =
        report.checklist().iter().filter(|requirement| requirement.status != "SECURE").count()
            as i32;
    let run = builtins::new_uuid();
    let by = session::user();
    as_owner(|| {
        spi::connect_mut(|client| {
            let mut arguments: Vec<DatumWithOid<'_>> = vec![run.into(), by.into()];
            arguments.extend(columns(&report));
            arguments.push(unmet.into());
            client.update(include_str!("../../sql/rls/keep_run.sql"), None, &arguments)?;
            Ok::<_, RlsError>(())
        })
    })?;
    Ok(run)
}

/// The differences from a stored audit. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn rls_drift(p_run: Option<pgrx::Uuid>) -> Result<QueryRows, ErrorReport> {
    let report = Report::make()?;
    let answer = as_owner(|| {
        let mut arguments: Vec<DatumWithOid<'_>> = vec![p_run.into()];
        arguments.extend(columns(&report));
        arguments.extend(inconclusive(&report).map(DatumWithOid::from));
        // Rules whose findings are verdicts on a table.
        let verdict_rules = Reach::ALL
            .iter()
            .map(|reach| reach.rule())
            .chain(super::report::audit_report::OPEN.iter().copied());
        let verdict_rules: Vec<String> = verdict_rules
            .chain([
                "public-read",
                "unknown-owner",
                "shared-write",
                "latent-leak",
                "exempt-role",
                "failing-policies",
            ])
            .map(str::to_owned)
            .collect();
        arguments.push(verdict_rules.into());
        Ok::<_, RlsError>(QueryRows::of(include_str!("../../sql/rls/drift.sql"), &arguments))
    })?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quals_lose_the_user_hash() {
        assert_eq!(without_user("(owner = 'user 2bd88dfe'::uuid)"), "(owner = 'me'::uuid)");
        assert_eq!(
            without_user("(kind = 'user account') OR user "),
            "(kind = 'user account') OR user "
        );
    }
}
