//! What a check found, and in which order a person should hear of it. Pure.

/// How bad it is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Users are hit, or soon will be.
    Critical,
    /// It will get worse.
    Warning,
    /// It could not be looked at. Never the same as well.
    Skipped,
    /// It was looked at and is well.
    Ok,
}

impl Status {
    /// As reports say it. A query that answers anything else has not looked.
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

/// One row of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check's name.
    pub metric: &'static str,
    /// How bad.
    pub status: Status,
    /// What is concerned; `None` for the whole.
    pub object: Option<String>,
    /// The figure, with its unit.
    pub current_value: Option<String>,
    /// What it should be.
    pub threshold: Option<String>,
    /// The facts.
    pub evidence: Option<String>,
    /// What it means and what to do.
    pub recommendation: Option<String>,
    /// What to type next.
    pub next_command: Option<String>,
    /// What period the figure is about.
    pub since: Option<String>,
}

impl Finding {
    /// A check that found nothing.
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

    /// A check that could not look, and why.
    #[must_use]
    pub fn skipped(metric: &'static str, why: String) -> Self {
        Self {
            metric,
            status: Status::Skipped,
            object: None,
            current_value: None,
            threshold: None,
            evidence: Some(why),
            recommendation: Some("Nothing is known about this.".to_owned()),
            next_command: None,
            since: Some("now".to_owned()),
        }
    }
}

/// The worst first, among equals in the order of the checks.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| finding.status);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_first() {
        let of = |metric, status| Finding { status, ..Finding::skipped(metric, String::new()) };
        let mut findings = vec![
            of("a", Status::Ok),
            of("b", Status::Skipped),
            of("c", Status::Warning),
            of("d", Status::Critical),
            of("e", Status::Warning),
        ];
        sort(&mut findings);
        assert_eq!(findings.iter().map(|finding| finding.metric).collect::<String>(), "dceba");
        for status in [Status::Critical, Status::Warning, Status::Skipped, Status::Ok] {
            assert_eq!(Status::parse(status.as_str()), status);
        }
        assert_eq!(Status::parse("FINE"), Status::Skipped);
    }
}
