//! The messages that a channel takes.

use super::message::{Message, Severity};

/// The conditions of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The least severity.
    pub min_severity: Severity,
    /// The least level of escalation.
    pub min_level: u8,
    /// Patterns of groups, in which `*` stands for any characters. None takes no group.
    pub groups: Vec<String>,
}

/// Whether the channel takes the message. `was_told` says that the channel was told that the group
/// fires: the end goes there, and nowhere else.
#[must_use]
pub fn takes(route: &Route, message: &Message, was_told: bool) -> bool {
    if message.is_end() {
        return was_told;
    }
    message.severity >= route.min_severity
        && message.level >= route.min_level
        && route.groups.iter().any(|pattern| fits(pattern, &message.group))
}

/// Whether a text fits a pattern with `*` for any characters, in linear time.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::super::message::Reason;
    use super::super::message::tests::notice;
    use super::*;
    use proptest::prelude::*;

    fn route(min_severity: Severity, min_level: u8, groups: &[&str]) -> Route {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Route { min_severity, min_level, groups }
    }

    #[test]
    fn a_route_needs_severity_level_and_group() {
        use Severity::{Critical, Info, Warning};
        let mut message = notice(Reason::Firing, vec![]);
        (message.severity, message.level) = (Warning, 2);
        for (severity, level, groups, expected) in [
            (Info, 1, &["*"][..], true),
            (Warning, 2, &["traffic", "payments"], true),
            (Warning, 2, &["pay*"], true),
            (Warning, 2, &["*pay*ts*"], true),
            (Critical, 1, &["*"], false),
            (Info, 3, &["*"], false),
            (Info, 1, &["traffic", "payment", "Payments", "*x*"], false),
            (Info, 1, &[], false),
        ] {
            let route = route(severity, level, groups);
            assert_eq!(takes(&route, &message, true), expected, "{route:?}");
        }
    }

    #[test]
    fn the_end_goes_where_the_beginning_went() {
        let message = notice(Reason::PartlyResolved, vec![]);
        assert!(takes(&route(Severity::Critical, 3, &["x"]), &message, true));
        let message = notice(Reason::Resolved, vec![]);
        let closed = route(Severity::Critical, 3, &[]);
        assert!(takes(&closed, &message, true), "the route may have changed since");
        assert!(!takes(&route(Severity::Info, 1, &["*"]), &message, false));
    }

    #[test]
    fn a_hostile_pattern_takes_linear_time() {
        let begin = std::time::Instant::now();
        assert!(!fits(&"*a".repeat(500).replace("**", "*"), &"a".repeat(499)));
        assert!(!fits(&format!("{}b", "*a*".repeat(300)), &"a".repeat(1_000_000)));
        assert!(begin.elapsed().as_secs() < 2, "{:?}", begin.elapsed());
    }

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
}
