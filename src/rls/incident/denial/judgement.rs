//! A policy's condition with the value of each part, and the reason why it does not hold. Pure.

/// The value of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is NULL, which a policy takes as false.
    Null,
    /// Its value is not known.
    Unknown,
}

/// A condition that is neither an AND nor an OR.
#[derive(Debug, Clone)]
pub struct Term {
    /// The condition as SQL.
    pub sql: String,
    /// Its value.
    pub truth: Truth,
    /// The values behind it, in words.
    pub facts: Vec<String>,
}

/// A condition with the value of each part.
#[derive(Debug, Clone)]
pub enum Judgement {
    /// An AND.
    All(Vec<Self>),
    /// An OR.
    Any(Vec<Self>),
    /// Any other condition.
    Term(Term),
}

impl Judgement {
    /// The value of the whole, by the rules of SQL.
    #[must_use]
    pub fn truth(&self) -> Truth {
        let (parts, decisive, other) = match self {
            Self::Term(term) => return term.truth,
            Self::All(parts) => (parts, Truth::False, Truth::True),
            Self::Any(parts) => (parts, Truth::True, Truth::False),
        };
        let values: Vec<Truth> = parts.iter().map(Self::truth).collect();
        match [decisive, Truth::Unknown, Truth::Null].into_iter().find(|of| values.contains(of)) {
            // NULL AND unknown cannot become true: a policy refuses either way.
            Some(Truth::Unknown) if decisive == Truth::False && values.contains(&Truth::Null) => {
                Truth::Null
            }
            Some(found) => found,
            None => other,
        }
    }

    /// How many parts hold or are not known: a measure of how near the policy is to letting the row
    /// through.
    #[must_use]
    pub fn nearness(&self) -> usize {
        match self {
            Self::Term(term) => usize::from(!matches!(term.truth, Truth::False | Truth::Null)),
            Self::All(parts) => parts.iter().map(Self::nearness).sum(),
            Self::Any(parts) => parts.iter().map(Self::nearness).max().unwrap_or(0),
        }
    }

    /// The parts that keep it from holding, in words.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Term(term) => term.reason(),
            Self::All(parts) => {
                let refusing: Vec<&Self> =
                    parts.iter().filter(|part| part.truth() != Truth::True).collect();
                let decisive = |part: &&&Self| matches!(part.truth(), Truth::False | Truth::Null);
                let is_decided = refusing.iter().any(|part| decisive(&part));
                refusing
                    .iter()
                    .filter(|part| !is_decided || decisive(part))
                    .map(|part| part.reason())
                    .collect::<Vec<_>>()
                    .join(" Also, ")
            }
            Self::Any(parts) => {
                let reasons: Vec<String> = parts
                    .iter()
                    .enumerate()
                    .map(|(i, part)| format!("({}) {}", i + 1, part.reason()))
                    .collect();
                format!("None of {} alternatives holds. {}", parts.len(), reasons.join(" "))
            }
        }
    }
}

impl Term {
    fn reason(&self) -> String {
        let sql = without_outer_parentheses(&self.sql);
        let verb = match self.truth {
            Truth::True => "is true",
            Truth::False => "is false",
            Truth::Null => "is NULL, which counts as false",
            Truth::Unknown => "cannot be decided",
        };
        match self.facts.as_slice() {
            [] => format!("{sql} {verb}."),
            facts => format!("{sql} {verb}: {}.", facts.join("; ")),
        }
    }
}

/// The text without parentheses around the whole.
#[must_use]
pub fn without_outer_parentheses(sql: &str) -> &str {
    let Some(inner) = sql.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else {
        return sql;
    };
    let (mut depth, mut quote) = (0_i32, None);
    for c in inner.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return sql;
        }
    }
    without_outer_parentheses(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(sql: &str, truth: Truth) -> Judgement {
        Judgement::Term(Term { sql: sql.to_owned(), truth, facts: Vec::new() })
    }

    #[test]
    fn values_combine_as_in_sql() {
        use Truth::{False, Null, True, Unknown};
        for (one, other, all, any) in [
            (True, True, True, True),
            (True, False, False, True),
            (True, Null, Null, True),
            (False, Null, False, Null),
            (Unknown, False, False, Unknown),
            (Unknown, True, Unknown, True),
            (Unknown, Null, Null, Unknown),
        ] {
            let parts = || vec![term("a", one), term("b", other)];
            assert_eq!(Judgement::All(parts()).truth(), all, "{one:?} AND {other:?}");
            assert_eq!(Judgement::Any(parts()).truth(), any, "{one:?} OR {other:?}");
        }
    }

    #[test]
    fn a_reason_names_only_the_parts_that_refuse() {
        let all = Judgement::All(vec![
            term("(a = 1)", Truth::True),
            term("(b = 2)", Truth::False),
            term("c", Truth::Unknown),
        ]);
        assert_eq!(all.reason(), "b = 2 is false.");
        let any = Judgement::Any(vec![all, term("d", Truth::Null)]);
        assert_eq!(
            any.reason(),
            "None of 2 alternatives holds. (1) b = 2 is false. (2) d is NULL, which counts as \
             false."
        );
    }

    #[test]
    fn only_parentheses_around_the_whole_are_removed() {
        assert_eq!(without_outer_parentheses("((a = 1))"), "a = 1");
        assert_eq!(without_outer_parentheses("(a) = (b)"), "(a) = (b)");
        assert_eq!(without_outer_parentheses("(a = ')(')"), "a = ')('");
    }

    #[test]
    fn the_policy_that_holds_in_most_parts_is_the_nearest() {
        let near = Judgement::All(vec![term("a", Truth::True), term("b", Truth::False)]);
        let far = Judgement::Any(vec![term("a", Truth::False), term("b", Truth::False)]);
        assert!(near.nearness() > far.nearness());
    }
}
