//! The steps of an explained denial, and the conclusion. Pure.

/// The answer of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The command passes this check.
    Ok,
    /// The check refuses the command, or hides the row from it.
    Denied,
    /// The check could not be decided.
    Unknown,
    /// Every check passes.
    Allowed,
}

impl Status {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Denied => "DENIED",
            Self::Unknown => "UNKNOWN",
            Self::Allowed => "ALLOWED",
        }
    }
}

/// One check that the server makes.
#[derive(Debug, Clone)]
pub struct Step {
    /// The answer.
    pub status: Status,
    /// The kind of check.
    pub cause: &'static str,
    /// The object that decides.
    pub object: String,
    /// The reason in words.
    pub explanation: String,
    /// A statement that removes the cause and opens nothing else.
    pub remediation: Option<String>,
    /// Whether a denial concerns only another form of the command, such as RETURNING.
    pub is_conditional: bool,
}

impl Step {
    /// A step with this answer.
    pub fn new(
        status: Status,
        cause: &'static str,
        object: impl Into<String>,
        explanation: impl Into<String>,
    ) -> Self {
        Self {
            status,
            cause,
            object: object.into(),
            explanation: explanation.into(),
            remediation: None,
            is_conditional: false,
        }
    }

    /// A check that passes.
    pub fn ok(cause: &'static str, object: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Status::Ok, cause, object, text)
    }

    /// A check that refuses the command.
    pub fn denied(cause: &'static str, object: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Status::Denied, cause, object, text)
    }

    /// A check that could not be decided.
    pub fn unknown(
        cause: &'static str,
        object: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self::new(Status::Unknown, cause, object, text)
    }

    /// The step with a statement that removes the cause.
    #[must_use]
    pub fn with_remediation(mut self, remediation: Option<String>) -> Self {
        self.remediation = remediation;
        self
    }

    /// The step as one that concerns only another form of the command.
    #[must_use]
    pub fn conditional(mut self) -> Self {
        self.is_conditional = true;
        self
    }
}

/// Whether a step refuses the command as asked.
pub fn is_denied(steps: &[Step]) -> bool {
    steps.iter().any(|step| step.status == Status::Denied && !step.is_conditional)
}

/// Whether a step is undecided.
pub fn is_unknown(steps: &[Step]) -> bool {
    steps.iter().any(|step| step.status == Status::Unknown)
}

/// The steps as a report shows them. If each passes, one row ALLOWED takes their place; denials of
/// other forms of the command follow it. `summary` explains that row.
#[must_use]
pub fn concluded(steps: Vec<Step>, object: &str, summary: &str) -> Vec<Step> {
    if is_denied(&steps) || is_unknown(&steps) {
        return steps;
    }
    let allowed = Step::new(Status::Allowed, "none", object, summary);
    std::iter::once(allowed).chain(steps.into_iter().filter(|step| step.is_conditional)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|step| step.status.as_str()).collect()
    }

    #[test]
    fn passing_checks_become_one_row() {
        let steps = vec![Step::ok("a", "", ""), Step::ok("b", "", "")];
        assert_eq!(words(&concluded(steps, "t", "")), ["ALLOWED"]);
    }

    #[test]
    fn a_denial_keeps_the_steps_before_it() {
        let steps = vec![Step::ok("a", "", ""), Step::denied("b", "", "")];
        assert_eq!(words(&concluded(steps, "t", "")), ["OK", "DENIED"]);
    }

    #[test]
    fn an_undecided_check_is_never_allowed() {
        let steps = vec![Step::ok("a", "", ""), Step::unknown("b", "", "")];
        assert_eq!(words(&concluded(steps, "t", "")), ["OK", "UNKNOWN"]);
    }

    #[test]
    fn a_denial_of_another_form_follows_the_permission() {
        let steps = vec![Step::ok("a", "", ""), Step::denied("b", "", "").conditional()];
        assert_eq!(words(&concluded(steps, "t", "")), ["ALLOWED", "DENIED"]);
    }
}
