//! Counters over a period: since an earlier sample, else over the lifetime of the statistics.

use crate::health::context::CheckContext;
use crate::health::error::HealthError;
use crate::health::finding::{Finding, Status};
use crate::pg::xact::session;
use serde_json::{Map, Value};

/// The counters of one part of the server over a window or a lifetime.
pub(super) struct Period<'a> {
    now: &'a Map<String, Value>,
    /// The counters at the start of the window; `None` for a lifetime.
    earlier: Option<&'a Map<String, Value>>,
    pub(super) seconds: f64,
    /// The period as the column `since` shows it.
    since: String,
}

fn number(counters: &Map<String, Value>, key: &str) -> f64 {
    counters.get(key).and_then(Value::as_f64).unwrap_or(0.0)
}

impl<'a> Period<'a> {
    /// `earlier` comes with its age in seconds. Returns `None` if this part has no counters.
    fn new(part: &str, now: &'a Value, earlier: Option<(&'a Value, f64)>) -> Option<Self> {
        let at = now.get("epoch").and_then(Value::as_f64).unwrap_or_default();
        let now = now.get(part)?.as_object()?;
        // After a reset or a crash the counters start anew. The sample then does not compare, and
        // the period is the lifetime since that event.
        let is_comparable = |earlier: &Map<String, Value>| {
            earlier.get("counting_since") == now.get("counting_since")
                && earlier.iter().all(|(key, value)| {
                    value.as_f64().is_none_or(|value| value <= number(now, key))
                })
        };
        let earlier =
            earlier.and_then(|(earlier, age)| Some((earlier.get(part)?.as_object()?, age)));
        if let Some((earlier, age)) = earlier.filter(|(earlier, _)| is_comparable(earlier)) {
            let seconds = age.max(0.001);
            let since = match seconds {
                ..120.0 => format!("last {seconds:.0} s"),
                _ => format!("last {:.0} min", seconds / 60.0),
            };
            return Some(Self { now, earlier: Some(earlier), seconds, since });
        }
        let began = now.get("counting_since").and_then(Value::as_f64);
        let since = now.get("since").and_then(Value::as_str).unwrap_or("unknown");
        let seconds = began.map_or(0.001, |began| (at - began).max(0.001));
        Some(Self { now, earlier: None, seconds, since: format!("lifetime since {since}") })
    }

    /// The increase of a counter in this period.
    pub(super) fn count(&self, key: &str) -> f64 {
        number(self.now, key) - self.earlier.map_or(0.0, |earlier| number(earlier, key))
    }

    pub(super) fn is_window(&self) -> bool {
        self.earlier.is_some()
    }

    /// Whether the figures tell of now: those of a window, or of a lifetime of at most an hour. An
    /// old lifetime would warn for ever.
    pub(super) fn is_recent(&self) -> bool {
        self.is_window() || self.seconds <= 3600.0
    }

    /// The way to figures of now, if these are of an old lifetime; else nothing.
    pub(super) fn remark(&self) -> &'static str {
        match self.is_recent() {
            true => "",
            false => "; only crewsnow_ops.sample_health() gives figures of the last minutes",
        }
    }
}

/// A check's result for one period.
pub(super) struct Assessment {
    pub(super) status: Status,
    pub(super) value: String,
    pub(super) threshold: String,
    pub(super) evidence: String,
    /// Recommendation and next command, shown unless the status is OK.
    pub(super) advice: (&'static str, String),
}

/// A size with a unit, like pg_size_pretty.
pub(super) fn size(bytes: f64) -> String {
    let (mut rest, mut unit) = (bytes, 0);
    while rest >= 10_240.0 && unit < 4 {
        (rest, unit) = (rest / 1024.0, unit + 1);
    }
    format!("{rest:.0} {}", ["bytes", "kB", "MB", "GB", "TB"][unit])
}

/// `None` if `whole` is 0.
pub(super) fn percent(part: f64, whole: f64, decimals: usize) -> Option<String> {
    (whole > 0.0).then(|| format!("{:.decimals$} %", 100.0 * part / whole))
}

/// One finding for the first part, and one for each other part that is not OK.
pub(super) fn findings_of_parts(
    metric: &'static str,
    context: &CheckContext,
    parts: &[&str],
    assess: fn(&Period<'_>, &CheckContext) -> Assessment,
) -> Result<Vec<Finding>, HealthError> {
    let now = match &*context.counters {
        Ok(counters) => &counters.parsed,
        Err(reason) => return Ok(vec![Finding::skipped(metric, reason.clone())]),
    };
    let earlier =
        context.earlier.as_ref().map(|sample| (&sample.counters.parsed, sample.age_seconds));
    let mut findings = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let Some(period) = Period::new(part, now, earlier) else { continue };
        let assessment = assess(&period, context);
        if i > 0 && assessment.status == Status::Ok {
            continue;
        }
        let ok = Finding::ok(metric);
        let (recommendation, next_command) = match assessment.status {
            Status::Ok => (ok.recommendation, None),
            _ => (Some(assessment.advice.0.to_owned()), Some(assessment.advice.1)),
        };
        findings.push(Finding {
            metric,
            status: assessment.status,
            object: match *part {
                "here" => Some(format!("database {}", session::database())),
                "others" => Some("other databases".to_owned()),
                _ => None,
            },
            current_value: Some(assessment.value),
            threshold: Some(assessment.threshold),
            evidence: Some(assessment.evidence),
            recommendation,
            next_command,
            since: Some(period.since),
        });
    }
    Ok(findings)
}

pub(super) const DATABASE_PARTS: [&str; 2] = ["here", "others"];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_window_needs_counters_of_the_same_lifetime() {
        let here = json!({ "a": 10, "since": "1970", "counting_since": 100.5 });
        let now = json!({ "epoch": 1000.0, "here": here });
        let period = |earlier: Value, age: f64| {
            Period::new("here", &now, Some((&json!({ "here": earlier }), age)))
                .map(|p| (p.is_window(), p.count("a"), p.seconds, p.since))
                .expect("a part with counters")
        };
        assert_eq!(
            period(json!({ "a": 4, "counting_since": 100.5 }), 60.2),
            (true, 6.0, 60.2, "last 60 s".to_owned())
        );
        assert_eq!(period(json!({ "a": 4, "counting_since": 100.5 }), 290.0).3, "last 5 min");
        let lifetime = (false, 10.0, 899.5, "lifetime since 1970".to_owned());
        assert_eq!(
            period(json!({ "a": 4, "counting_since": 100.0 }), 60.0),
            lifetime,
            "the counters were reset"
        );
        assert_eq!(
            period(json!({ "a": 11, "counting_since": 100.5 }), 60.0),
            lifetime,
            "counters do not run backwards"
        );
        assert!(Period::new("others", &now, None).is_none());
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(
            [0.0, 10_239.0, 10_240.0, 3.5e9].map(size),
            ["0 bytes", "10239 bytes", "10 kB", "3338 MB"]
        );
        assert_eq!(percent(1.0, 3.0, 1).as_deref(), Some("33.3 %"));
        assert_eq!(percent(0.0, 0.0, 1), None);
    }
}
