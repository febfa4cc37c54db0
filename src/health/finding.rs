//! Findings of checks. Pure.

/// The status of a finding, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Users are affected, or will be soon.
    Critical,
    /// It will get worse if the operator does nothing.
    Warning,
    /// The check could not look. This is never the same as OK.
    Skipped,
    /// The check looked and found nothing wrong.
    Ok,
}

impl Status {
    /// Reads the word in reports. Any other text is SKIPPED, so that an unknown status is never OK.
    #[must_use]
    pub fn parse(status: &str) -> Self {
        match status {
            "CRITICAL" => Self::Critical,
            "WARNING" => Self::Warning,
            "OK" => Self::Ok,
            _ => Self::Skipped,
        }
    }

    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "CRITICAL",
            Self::Warning => "WARNING",
            Self::Skipped => "SKIPPED",
            Self::Ok => "OK",
        }
    }
}

/// The reason of a SKIPPED row for a check that has no object on this server.
pub(super) const NOT_APPLICABLE: &str = "it does not apply to this server";

/// One row of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Name of the check.
    pub metric: &'static str,
    /// The column `status`.
    pub status: Status,
    /// The object concerned, such as `table public.rides`; `None` for the whole server.
    pub object: Option<String>,
    /// The measured value with its unit; `None` without a figure.
    pub current_value: Option<String>,
    /// The healthy range of the value; `None` without a limit.
    pub threshold: Option<String>,
    /// Facts behind the status; for a skipped check the reason.
    pub evidence: Option<String>,
    /// Consequence and action in one sentence.
    pub recommendation: Option<String>,
    /// SQL to type next; `None` if there is nothing to do.
    pub next_command: Option<String>,
    /// Period of the value: `now`, `last 5 min`, `lifetime since …`.
    pub since: Option<String>,
}

impl Finding {
    /// A check that found nothing wrong.
    #[must_use]
    pub fn ok(metric: &'static str) -> Self {
        let recommendation = Some("Nothing to do.".to_owned());
        Self {
            status: Status::Ok,
            evidence: None,
            recommendation,
            ..Self::skipped(metric, String::new())
        }
    }

    /// A check that could not look, with the reason.
    #[must_use]
    pub fn skipped(metric: &'static str, reason: String) -> Self {
        Self {
            metric,
            status: Status::Skipped,
            object: None,
            current_value: None,
            threshold: None,
            evidence: Some(reason),
            recommendation: Some(
                "This check has no result: treat its subject as unknown, not as OK.".to_owned(),
            ),
            next_command: None,
            since: Some("now".to_owned()),
        }
    }

    /// Whether the check has no object on this server, so that nothing is unseen.
    #[must_use]
    pub fn is_inapplicable(&self) -> bool {
        self.status == Status::Skipped && self.evidence.as_deref() == Some(NOT_APPLICABLE)
    }
}

/// A size with one decimal and decimal units.
pub(super) fn gigabytes(bytes: u64) -> String {
    format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gigabytes_are_cut_after_one_decimal() {
        assert_eq!(gigabytes(12_345_678_901), "12.3 GB");
    }

    #[test]
    fn an_unknown_status_is_never_ok() {
        for status in [Status::Critical, Status::Warning, Status::Skipped, Status::Ok] {
            assert_eq!(Status::parse(status.as_str()), status);
        }
        assert_eq!(Status::parse("FINE"), Status::Skipped);
    }
}
