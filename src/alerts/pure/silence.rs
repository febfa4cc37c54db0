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
    use proptest::prelude::*;

    /// An independent definition: try each length for each star.
    fn oracle(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|from| oracle(rest, &text[from..])),
            Some((first, rest)) => text.first() == Some(first) && oracle(rest, &text[1..]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn fits_agrees_with_its_definition(pattern in "[ab*é]{0,7}", text in "[abé]{0,9}") {
            let (p, t): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(fits(&pattern, &text), oracle(&p, &t), "{} {}", pattern, text);
        }
    }

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

    #[test]
    fn a_hostile_pattern_takes_linear_time() {
        let begin = std::time::Instant::now();
        assert!(!fits(&"*a".repeat(500).replace("**", "*"), &"a".repeat(499)));
        assert!(!fits(&format!("{}b", "*a*".repeat(300)), &"a".repeat(1_000_000)));
        assert!(begin.elapsed().as_secs() < 2, "{:?}", begin.elapsed());
    }
}
