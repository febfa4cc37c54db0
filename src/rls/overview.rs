//! SQL functions of the first screen: the worst causes, one cause as a page, and the tables whose
//! content is meant to be public.

use super::api::{severity, text};
use super::model::Finding;
use super::report::audit_report::Report;
use crate::pg::error::ServerError;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::rls::error::RlsError;
use crate::suggest::similar;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{IntoDatum, notice};

/// The worst causes, one line each. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn rls_worst(p_limit: Option<i32>) -> Result<MaterializedRows<6>, ErrorReport> {
    let report = Report::make()?;
    let limit = p_limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(0));
    let lines = report.worst(limit);
    if let Some(more) = report.shown().checked_sub(lines.len()).filter(|more| *more > 0) {
        notice!("{more} more: SELECT * FROM crewsnow_ops.rls_worst(NULL);");
    }
    Ok(MaterializedRows(
        lines
            .into_iter()
            .map(|line| {
                [
                    (line.place as i32).into_datum(),
                    severity(line.severity),
                    text(line.rule),
                    (line.count as i32).into_datum(),
                    text(line.object),
                    text(line.summary),
                ]
            })
            .collect(),
    ))
}

/// The whole text of a finding. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 42704 (no such finding).
#[pg_extern(sql = false)]
fn rls_finding(p_finding: Option<&str>) -> Result<String, ErrorReport> {
    const EXAMPLE: &str = "SELECT crewsnow_ops.rls_finding('1');";
    let name =
        p_finding.ok_or(ServerError::NullArgument { argument: "p_finding", example: EXAMPLE })?;
    let report = Report::make()?;
    let causes = report.causes_called(name);
    if causes.is_empty() {
        let known: Vec<String> = report.findings.iter().map(Finding::key).collect();
        let near = similar(name, known.iter().map(String::as_str));
        return Err(RlsError::UnknownFinding { finding: name.to_owned(), similar: near }.into());
    }
    let pages: Vec<String> = causes.into_iter().map(|cause| report.page(cause)).collect();
    Ok(pages.join("\n"))
}

/// Tables of public content, by all appearances. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn rls_public_content() -> Result<MaterializedRows<4>, ErrorReport> {
    let rows = Report::make()?.public_content()?;
    Ok(MaterializedRows(
        rows.into_iter()
            .map(|row| {
                [text(row.table), severity(row.severity), text(row.evidence), text(row.statement)]
            })
            .collect(),
    ))
}
