//! The SQL surface.

use super::audit::Audit;
use super::report::Report;
use super::rules;
use crate::pg::{identity, rows::Rows, session};
use pgrx::IntoDatum;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// A text, or NULL for an empty one.
pub(super) fn text(text: impl Into<String>) -> Option<pg_sys::Datum> {
    let text: String = text.into();
    if text.is_empty() { None } else { text.into_datum() }
}

/// What is so for whom. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn rls_matrix(p_relation: Option<pg_sys::Oid>) -> Result<Rows<10>, ErrorReport> {
    let audit = Audit::run(p_relation)?;
    let mut rows = Vec::new();
    for (table, cells) in &audit.tables {
        for cell in cells {
            let policies: Vec<String> = cell.culprits.iter().map(|policy| policy.name.clone()).collect();
            let remark = [cell.verdict.remark(), cell.evidence.clone()];
            rows.push([
                text(table.named.name.clone()),
                text(cell.reach.rule()),
                text(identity::role_name(cell.role)),
                text(cell.identity.clone()),
                text(cell.verdict.as_str()),
                cell.verdict.confidence().and_then(|confidence| text(confidence.as_str())),
                text(cell.using.clone()),
                text(cell.check.clone()),
                policies.into_datum(),
                text(remark.into_iter().filter(|remark| !remark.is_empty()).collect::<Vec<_>>().join(": ")),
            ]);
        }
    }
    Ok(Rows(rows))
}

/// All findings. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn audit_rls() -> Result<Rows<13>, ErrorReport> {
    let report = Report::make()?;
    let row = |finding: &super::model::Finding| {
        let acceptance = report.acceptance(finding);
        let lint = finding.cache_key.as_deref().and_then(rules::lint_of);
        [
            text(finding.key()),
            text(finding.rule),
            text(finding.severity.as_str()),
            text(finding.confidence.as_str()),
            text(finding.object.clone()),
            text(finding.detail.clone()),
            text(finding.evidence.clone()),
            text(finding.remediation.clone().unwrap_or_default()),
            acceptance.and_then(|acceptance| text(acceptance.until.clone())),
            acceptance.and_then(|acceptance| text(acceptance.reason.clone())),
            text(lint.unwrap_or_default()),
            text(finding.cache_key.clone().unwrap_or_default()),
            text(format!("docs/rls-rules.md#{}", finding.rule)),
        ]
    };
    Ok(Rows(report.findings.iter().map(row).collect()))
}

/// The runbook's list of policies. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn audit_all_rls_policies() -> Result<Rows<7>, ErrorReport> {
    let rows = Report::make()?.policies();
    Ok(Rows(
        rows.into_iter()
            .map(|row| {
                [
                    text(row.table),
                    row.policy.and_then(text),
                    row.command.and_then(text),
                    row.roles.into_datum(),
                    text(row.status),
                    text(row.level),
                    row.issues.into_datum(),
                ]
            })
            .collect(),
    ))
}

/// The runbook's checklist. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn generate_rls_checklist() -> Result<Rows<6>, ErrorReport> {
    let rows = Report::make()?.checklist();
    Ok(Rows(
        rows.into_iter()
            .map(|row| {
                [
                    text(row.requirement),
                    text(row.table),
                    text(row.status),
                    row.policy_exists.into_datum(),
                    row.auth_uid_check.into_datum(),
                    text(row.recommendation),
                ]
            })
            .collect(),
    ))
}

/// The runbook's report. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn run_day1_database_security_audit() -> Result<String, ErrorReport> {
    Ok(Report::make()?.day1(&session::database(), &session::server_version()))
}
