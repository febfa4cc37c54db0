//! Findings, verdicts and their words. Pure.

use std::fmt;

/// Urgency of a finding, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Anonymous requests or new accounts reach foreign rows.
    Critical,
    /// Some users reach foreign rows, or one more mistake lets them.
    High,
    /// A weakness.
    Medium,
    /// Worth a review without hurry.
    Low,
    /// For information.
    Info,
}

impl Severity {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "CRITICAL",
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
            Self::Info => "INFO",
        }
    }

    /// Parses the word of a rule. An unknown word is CRITICAL, so that it is not overlooked.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "HIGH" => Self::High,
            "MEDIUM" => Self::Medium,
            "LOW" => Self::Low,
            "INFO" => Self::Info,
            _ => Self::Critical,
        }
    }
}

/// Certainty of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Follows from the quals that the server enforces.
    Proved,
    /// A probe found a row.
    Observed,
    /// An indication that a person has to review.
    Suspected,
}

impl Confidence {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proved => "PROVED",
            Self::Observed => "OBSERVED",
            Self::Suspected => "SUSPECTED",
        }
    }

    /// Parses the word of a rule; an unknown word is SUSPECTED.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "PROVED" => Self::Proved,
            "OBSERVED" => Self::Observed,
            _ => Self::Suspected,
        }
    }
}

/// An effect on foreign rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Read foreign rows.
    Read,
    /// Update foreign rows.
    Tamper,
    /// Update foreign rows so that the identity owns them.
    TakeOver,
    /// Update own rows so that another user owns them.
    Plant,
    /// Insert rows that another user owns.
    Forge,
    /// Delete foreign rows.
    Destroy,
}

impl Reach {
    /// All, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Tamper, Self::TakeOver, Self::Plant, Self::Forge, Self::Destroy];

    /// The rule that reports it; also the word in reports.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Read => "read-leak",
            Self::Tamper => "tampering",
            Self::TakeOver => "take-over",
            Self::Plant => "planted-rows",
            Self::Forge => "forged-rows",
            Self::Destroy => "destruction",
        }
    }

    /// The verb phrase after "can".
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Read => "read rows of other users",
            Self::Tamper => "change rows of other users",
            Self::TakeOver => "make rows of other users their own",
            Self::Plant => "give rows of their own to other users",
            Self::Forge => "insert rows in other users' names",
            Self::Destroy => "delete rows of other users",
        }
    }
}

/// The identities that a leak is open to, widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// Requests without an account.
    Anonymous,
    /// Any new account.
    AnyAccount,
    /// Every session of the role: one without claims, or of a role that is not a client's.
    Session,
    /// Every account that was tried.
    EveryUser,
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "anyone, without signing in,",
            Self::AnyAccount => "anyone who signs up",
            Self::Session => "any session of the role",
            Self::EveryUser => "every user tried",
        })
    }
}

/// The verdict on one reach of one identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The role lacks the privilege.
    NoAccess,
    /// The server lets no row through.
    Closed,
    /// No foreign row: proved without reading a row.
    Isolated,
    /// No foreign row among so many that were read.
    IsolatedIn(i64),
    /// Foreign rows, but only those of related users (a shared team, chat or order).
    Shared,
    /// Foreign rows by a role or a claim that the policies grant them to.
    Granted,
    /// Rows of a table without an owner column.
    Public(Confidence),
    /// Foreign rows.
    Leak(Confidence, Audience),
    /// The role is exempt from row-level security.
    Exempt,
    /// The policies raise an error.
    Failing(String),
    /// The audit could not decide; the reason.
    Inconclusive(String),
}

impl Verdict {
    /// The word in reports.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoAccess => "NO ACCESS",
            Self::Closed => "CLOSED",
            Self::Isolated | Self::IsolatedIn(_) => "ISOLATED",
            Self::Shared | Self::Granted => "SHARED",
            Self::Public(_) => "PUBLIC",
            Self::Leak(..) => "LEAK",
            Self::Exempt => "EXEMPT",
            Self::Failing(_) => "FAILING",
            Self::Inconclusive(_) => "INCONCLUSIVE",
        }
    }

    /// Whether no foreign row is reached.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(self, Self::NoAccess | Self::Closed | Self::Isolated | Self::IsolatedIn(_))
    }

    /// Certainty of the verdict; `None` if inconclusive.
    #[must_use]
    pub fn confidence(&self) -> Option<Confidence> {
        match self {
            Self::Closed | Self::Isolated | Self::Exempt | Self::NoAccess => {
                Some(Confidence::Proved)
            }
            Self::IsolatedIn(_) | Self::Shared | Self::Granted => Some(Confidence::Observed),
            Self::Public(confidence) | Self::Leak(confidence, _) => Some(*confidence),
            Self::Failing(_) => Some(Confidence::Observed),
            Self::Inconclusive(_) => None,
        }
    }

    /// A remark for reports; may be empty.
    #[must_use]
    pub fn remark(&self) -> String {
        match self {
            Self::IsolatedIn(rows) => format!("no foreign row among {rows}"),
            Self::Shared => "some foreign rows".to_owned(),
            Self::Granted => "the policies name this role or claim".to_owned(),
            Self::Leak(_, audience) => format!("{audience} reaches foreign rows"),
            Self::Inconclusive(why) => why.clone(),
            Self::Failing(error) => format!("the policies fail with {error}"),
            Self::NoAccess => "only the missing privilege prevents it".to_owned(),
            Self::Exempt => "this role is exempt from row-level security".to_owned(),
            _ => String::new(),
        }
    }
}

/// One finding, as reports show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// Urgency.
    pub severity: Severity,
    /// Certainty.
    pub confidence: Confidence,
    /// The object concerned, such as `policy "p" on public.t`.
    pub object: String,
    /// The table whose rows are concerned, as an oid.
    pub relation: Option<u32>,
    /// The responsible policy, as an oid.
    pub policy: Option<u32>,
    /// The defect and its consequence.
    pub detail: String,
    /// The facts.
    pub evidence: String,
    /// SQL that closes the finding.
    pub remediation: Option<String>,
    /// The key of the same lint in Supabase's linter.
    pub cache_key: Option<String>,
}

impl Finding {
    /// Whether the evidence names a reach.
    #[must_use]
    pub fn is_about(&self, reach: Reach) -> bool {
        self.evidence.contains(reach.rule())
    }

    /// The name of the finding, stable between audits.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{} {}", self.rule, self.object)
    }
}

/// Sorts by severity and confidence, then by rule and object.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        (a.severity, a.confidence, a.rule, &a.object).cmp(&(
            b.severity,
            b.confidence,
            b.rule,
            &b.object,
        ))
    });
}

/// A name in quotes, as the server shows names in messages about policies.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: &'static str, severity: Severity, confidence: Confidence) -> Finding {
        Finding {
            rule,
            severity,
            confidence,
            object: "table t".to_owned(),
            relation: None,
            policy: None,
            detail: String::new(),
            evidence: String::new(),
            remediation: None,
            cache_key: None,
        }
    }

    #[test]
    fn a_proof_comes_before_a_suspicion_and_severity_before_both() {
        let mut found = [
            finding("c", Severity::Info, Confidence::Proved),
            finding("b", Severity::High, Confidence::Suspected),
            finding("d", Severity::Critical, Confidence::Suspected),
            finding("a", Severity::High, Confidence::Observed),
        ];
        sort(&mut found);
        assert_eq!(found.map(|finding| finding.rule), ["d", "a", "b", "c"]);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for severity in
            [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info]
        {
            assert_eq!(Severity::parse(severity.as_str()), severity);
        }
        for confidence in [Confidence::Proved, Confidence::Observed, Confidence::Suspected] {
            assert_eq!(Confidence::parse(confidence.as_str()), confidence);
        }
        assert_eq!(
            Severity::parse("severe"),
            Severity::Critical,
            "an unknown word is not overlooked"
        );
        assert_eq!(Confidence::parse("sure"), Confidence::Suspected);
    }

    #[test]
    fn an_inconclusive_verdict_has_no_confidence() {
        assert_eq!(Verdict::Inconclusive("why".to_owned()).confidence(), None);
        assert_eq!(Verdict::Isolated.confidence(), Some(Confidence::Proved));
        assert_eq!(Verdict::IsolatedIn(3).confidence(), Some(Confidence::Observed));
        assert_eq!(Verdict::IsolatedIn(3).remark(), "no foreign row among 3");
    }
}
