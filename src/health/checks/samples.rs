//! Whether anyone takes samples, without which no check knows the last minutes.

use crate::health::context;
use crate::health::context::CheckContext;
use crate::health::error::HealthError;
use crate::health::finding::Finding;
use crate::health::sample::HEALTH_SAMPLES;
use crate::pg::xact::session;

/// SKIPPED without a recent sample: the checks of rates then cover the whole lifetime of the
/// statistics. A standby takes no samples.
pub(super) fn health_samples(
    metric: &'static str,
    context: &CheckContext,
) -> Result<Vec<Finding>, HealthError> {
    if session::is_standby() {
        return Ok(vec![Finding {
            current_value: Some("none on a standby".to_owned()),
            evidence: Some("a standby takes no samples: rates cover the lifetime".to_owned()),
            ..Finding::ok(metric)
        }]);
    }
    if !context.capabilities.has(HEALTH_SAMPLES) {
        let reason = "the samples are hidden from this role".to_owned();
        return Ok(vec![Finding::skipped(metric, reason)]);
    }
    let sql = include_str!("../../../sql/health/fast/health_samples.sql");
    context::run_query(metric, sql, &[])
}
