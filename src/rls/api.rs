//! The SQL surface.

use super::audit::Audit;
use super::model;
use super::policy;
use crate::pg::rows::Rows;
use pgrx::IntoDatum;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

fn text(text: impl Into<String>) -> Option<pg_sys::Datum> {
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
            rows.push([
                text(table.named.name.clone()),
                text(cell.reach.rule()),
                text(crate::pg::identity::role_name(cell.role)),
                text(cell.identity.clone()),
                text(cell.verdict.as_str()),
                cell.verdict.confidence().and_then(|confidence| text(confidence.as_str())),
                text(cell.using.clone()),
                text(cell.check.clone()),
                policies.into_datum(),
                text(format!("{}{}{}", cell.verdict.remark(), if cell.evidence.is_empty() { "" } else { ": " }, cell.evidence)),
            ]);
        }
    }
    Ok(Rows(rows))
}

/// All findings. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn audit_rls() -> Result<Rows<8>, ErrorReport> {
    let audit = Audit::run(None)?;
    let mut findings = audit.findings();
    let _keeping = policy::keep(audit.facts.clone());
    model::sort(&mut findings);
    Ok(Rows(
        findings
            .into_iter()
            .map(|finding| {
                [
                    text(finding.key()),
                    text(finding.rule),
                    text(finding.severity.as_str()),
                    text(finding.confidence.as_str()),
                    text(finding.object),
                    text(finding.detail),
                    text(finding.evidence),
                    text(finding.remediation.unwrap_or_default()),
                ]
            })
            .collect(),
    ))
}
