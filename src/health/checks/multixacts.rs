//! The space of multixact members.

use crate::health::context::{CheckContext, run_query};
use crate::health::error::HealthError;
use crate::health::finding::{Finding, Status};
use crate::health::limits::limit;
use crate::pg::storage::multixact::{MEMBER_SPACE, members_in_use};

/// Limits: half of the space, from where the server vacuums aggressively, and three quarters, from
/// where it freezes every multixact at once (multixact.c). Without space, writes that share a row
/// fail. Ages of multixacts tell nothing of it.
pub(super) fn members(metric: &'static str, _: &CheckContext) -> Result<Vec<Finding>, HealthError> {
    let members = members_in_use();
    let percent = 100.0 * members as f64 / MEMBER_SPACE as f64;
    let [warning, critical] =
        ["multixact_members.warning", "multixact_members.critical"].map(limit);
    let status = match percent {
        _ if percent >= critical => Status::Critical,
        _ if percent >= warning => Status::Warning,
        _ => Status::Ok,
    };
    let finding = Finding {
        status,
        current_value: Some(format!("{percent:.0} % used")),
        threshold: Some(format!("< {warning} % of {MEMBER_SPACE}")),
        evidence: Some(format!("{members} members of multixacts in use")),
        ..Finding::ok(metric)
    };
    if status == Status::Ok {
        return Ok(vec![finding]);
    }
    let sql = include_str!("../../../sql/health/fast/multixact_holder.sql");
    Ok(run_query(metric, sql, &[])?
        .into_iter()
        .map(|holder| Finding {
            object: holder.object,
            evidence: Some(format!(
                "{members} members of multixacts in use; {}",
                holder.evidence.unwrap_or_default()
            )),
            recommendation: holder.recommendation,
            next_command: holder.next_command,
            ..finding.clone()
        })
        .collect())
}
