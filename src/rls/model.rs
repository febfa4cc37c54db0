//! What an audit of row-level security says. Pure.

use std::fmt;

/// How urgent a finding is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Anybody reads or writes what is others'.
    Critical,
    /// Some do, or one more mistake makes it so.
    High,
    /// A weakness.
    Medium,
    /// Worth a look on a quiet day.
    Low,
    /// To know.
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

    /// As rules answer it. What is none of the words must not be overlooked.
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

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// It follows from what the server enforces.
    Proved,
    /// A row was seen.
    Observed,
    /// It looks like it.
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

    /// As rules answer it.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "PROVED" => Self::Proved,
            "OBSERVED" => Self::Observed,
            _ => Self::Suspected,
        }
    }
}

/// What somebody might do to rows that are others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Read them.
    Read,
    /// Change them.
    Tamper,
    /// Make them one's own.
    TakeOver,
    /// Give one's own to somebody.
    Plant,
    /// Insert rows in somebody's name.
    Forge,
    /// Delete them.
    Destroy,
}

impl Reach {
    /// All, in the order of reports.
    pub const ALL: [Self; 6] = [Self::Read, Self::Tamper, Self::TakeOver, Self::Plant, Self::Forge, Self::Destroy];

    /// The rule that reports it.
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

    /// In a sentence after "can".
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

/// How far a leak reaches, the widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// Requests that nobody has signed in for.
    Anonymous,
    /// Whoever signs up.
    AnyAccount,
    /// Every user that was tried.
    EveryUser,
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "anybody, without signing in,",
            Self::AnyAccount => "anybody who signs up",
            Self::EveryUser => "every user that was tried",
        })
    }
}

/// What is so for one kind of reach of one identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The role lacks the privilege.
    NoAccess,
    /// The server lets no row through.
    Closed,
    /// None that is others': proved without reading a row.
    Isolated,
    /// None that is others' among so many looked at.
    IsolatedIn(i64),
    /// Some that are others', through what connects the two.
    Shared,
    /// Rows that belong to nobody.
    Public(Confidence),
    /// Rows of others.
    Leak(Confidence, Audience),
    /// Row-level security does not hold for the role.
    Exempt,
    /// The policies raise an error.
    Failing(String),
    /// It could not be told.
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
            Self::Shared => "SHARED",
            Self::Public(_) => "PUBLIC",
            Self::Leak(..) => "LEAK",
            Self::Exempt => "EXEMPT",
            Self::Failing(_) => "FAILING",
            Self::Inconclusive(_) => "INCONCLUSIVE",
        }
    }

    /// How sure it is, in a word of reports.
    #[must_use]
    pub fn confidence(&self) -> Option<Confidence> {
        match self {
            Self::Closed | Self::Isolated | Self::Exempt | Self::NoAccess => Some(Confidence::Proved),
            Self::IsolatedIn(_) | Self::Shared => Some(Confidence::Observed),
            Self::Public(confidence) | Self::Leak(confidence, _) => Some(*confidence),
            Self::Failing(_) => Some(Confidence::Observed),
            Self::Inconclusive(_) => None,
        }
    }

    /// What there is to add in words.
    #[must_use]
    pub fn remark(&self) -> String {
        match self {
            Self::IsolatedIn(rows) => format!("none of {rows} rows of others"),
            Self::Shared => "some rows of others".to_owned(),
            Self::Leak(_, audience) => format!("{audience} reaches rows of others"),
            Self::Inconclusive(why) => why.clone(),
            Self::Failing(error) => format!("the policies fail with {error}"),
            Self::Exempt => "row-level security does not hold for this role".to_owned(),
            _ => String::new(),
        }
    }
}

/// One finding, as reports show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// How urgent.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// What is concerned, as a person names it.
    pub object: String,
    /// The table whose rows are concerned, as an oid.
    pub relation: Option<u32>,
    /// The policy that lets it through, as an oid.
    pub policy: Option<u32>,
    /// What is wrong and what follows.
    pub detail: String,
    /// The facts.
    pub evidence: String,
    /// SQL that closes it.
    pub remediation: Option<String>,
    /// The key that Supabase's linter would give it.
    pub cache_key: Option<String>,
}

impl Finding {
    /// What it is known by from run to run.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{} {}", self.rule, self.object)
    }
}

/// The worst first, then by rule and object.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        (a.severity, a.confidence, a.rule, &a.object).cmp(&(b.severity, b.confidence, b.rule, &b.object))
    });
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
        for severity in [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info] {
            assert_eq!(Severity::parse(severity.as_str()), severity);
        }
        for confidence in [Confidence::Proved, Confidence::Observed, Confidence::Suspected] {
            assert_eq!(Confidence::parse(confidence.as_str()), confidence);
        }
        assert_eq!(Severity::parse("severe"), Severity::Critical, "what is not understood is not overlooked");
        assert_eq!(Confidence::parse("sure"), Confidence::Suspected);
    }

    #[test]
    fn what_was_not_told_has_no_confidence() {
        assert_eq!(Verdict::Inconclusive("why".to_owned()).confidence(), None);
        assert_eq!(Verdict::Isolated.confidence(), Some(Confidence::Proved));
        assert_eq!(Verdict::IsolatedIn(3).confidence(), Some(Confidence::Observed));
        assert_eq!(Verdict::IsolatedIn(3).remark(), "none of 3 rows of others");
    }
}
