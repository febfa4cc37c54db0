//! The matchers of silences.

use crate::messages::pure::route::fits;

/// A rule or a group, or a rule or group and a subject; `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    name: String,
    subject: Option<String>,
}

impl Matcher {
    /// Reads a matcher: `name` or `name/subject`. Names have no slash.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((name, subject)) => {
                Self { name: name.to_owned(), subject: Some(subject.to_owned()) }
            }
            None => Self { name: text.to_owned(), subject: None },
        }
    }

    /// Whether it fits the rule or its group, whatever the subject.
    #[must_use]
    pub fn fits_name(&self, rule: &str, group: &str) -> bool {
        fits(&self.name, rule) || fits(&self.name, group)
    }

    /// Whether it fits an alert.
    #[must_use]
    pub fn matches(&self, rule: &str, group: &str, subject: &str) -> bool {
        self.fits_name(rule, group)
            && self.subject.as_ref().is_none_or(|pattern| fits(pattern, subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matcher_names_a_rule_a_group_or_a_subject() {
        let matches = |text, subject| Matcher::parse(text).matches("p95", "traffic", subject);
        for text in ["p95", "traffic", "*", "p*", "*/*", "p95/web*", "traffic/*eb/1"] {
            assert!(matches(text, "web/1"), "{text}");
        }
        for text in ["p9", "p95x", "", "p95/web", "p95/", "/web/1", "P95"] {
            assert!(!matches(text, "web/1"), "{text}");
        }
        assert!(matches("p95/", ""), "the rule itself has an empty subject");
    }
}
