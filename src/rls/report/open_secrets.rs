//! Columns with secrets that clients read in rows of others.

use crate::rls::audit::Audit;
use crate::rls::model::{Audience, Confidence, Finding, Reach, Severity, Verdict};

/// The rule that lists readable columns with secrets.
const RULE: &str = "exposed-column";

/// Raises findings about secrets of the rows that a client sees to HIGH where the verdicts say that
/// clients see rows that are not theirs. The rule itself knows constant policies only.
pub fn raise(findings: &mut [Finding], audit: &Audit) {
    let is_suspected = |finding: &&mut Finding| {
        finding.rule == RULE && finding.confidence == Confidence::Suspected
    };
    for finding in findings.iter_mut().filter(is_suspected) {
        let table =
            audit.tables.iter().find(|(table, _)| Some(table.oid().to_u32()) == finding.relation);
        let clients: Vec<_> = audit.application.client_roles().map(|role| role.oid).collect();
        let cells = table.iter().flat_map(|(_, cells)| cells);
        let open = cells
            .filter(|cell| cell.reach == Reach::Read && clients.contains(&cell.role))
            .filter_map(|cell| match cell.verdict {
                Verdict::Public(confidence)
                | Verdict::Leak(confidence, Audience::Anonymous | Audience::AnyAccount) => {
                    Some((confidence, &cell.identity))
                }
                _ => None,
            })
            .min_by_key(|(confidence, _)| *confidence);
        let Some((confidence, identity)) = open else { continue };
        finding.severity = finding.severity.min(Severity::High);
        finding.confidence = confidence;
        finding.detail =
            finding.detail.replace("of the rows they see", "of rows that are not theirs");
        finding.evidence = format!("{}; {identity} reads such rows", finding.evidence);
    }
}
