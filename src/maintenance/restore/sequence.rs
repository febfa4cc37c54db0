//! Values of sequences. They are in no snapshot: a source in use moves them on at any time. Pure.

use super::item::Item;
use serde_json::Value;

/// A restored value beside that of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The same next value, or a later one: WAL and later calls may move it on.
    SameOrAhead,
    /// The next values were given out before.
    Behind,
    /// A cycling sequence with another value: it may have begun anew.
    Cycled,
}

/// Compares a restored value with that of the source. `definition` is the item of the sequence.
#[must_use]
pub fn standing(definition: &Item, source: &Item, restored: &Item) -> Standing {
    let (Some(source), Some(restored)) =
        (next_value(definition, source), next_value(definition, restored))
    else {
        return Standing::SameOrAhead;
    };
    if source == restored {
        Standing::SameOrAhead
    } else if definition.definition.get("cycle") == Some(&Value::Bool(true)) {
        Standing::Cycled
    } else if (restored < source) == is_ascending(definition) {
        Standing::Behind
    } else {
        Standing::SameOrAhead
    }
}

/// Whether the next value is not beyond the extreme value of the column that the sequence feeds.
#[must_use]
pub fn is_used(definition: &Item, value: &Item, extreme: Option<&str>) -> bool {
    let next = next_value(definition, value);
    let extreme = extreme.and_then(|extreme| extreme.parse::<i128>().ok());
    next.zip(extreme).is_some_and(|(next, extreme)| {
        if is_ascending(definition) { next <= extreme } else { next >= extreme }
    })
}

fn is_ascending(definition: &Item) -> bool {
    !definition.aspect("increment").is_some_and(|increment| increment.starts_with('-'))
}

/// The value that `nextval` returns next, the limits aside.
fn next_value(definition: &Item, value: &Item) -> Option<i128> {
    let last = value.aspect("value")?.parse::<i128>().ok()?;
    let increment = definition.aspect("increment")?.parse::<i128>().ok()?;
    let is_called = value.definition.get("is called") != Some(&Value::Bool(false));
    Some(if is_called { last + increment } else { last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sequence(increment: i64, is_cycle: bool) -> Item {
        let definition = json!({"increment": increment.to_string(), "cycle": is_cycle});
        item("sequence", &definition)
    }

    fn value(value: i64, is_called: bool) -> Item {
        item("sequence value", &json!({"value": value.to_string(), "is called": is_called}))
    }

    fn item(kind: &str, definition: &Value) -> Item {
        let definition = definition.as_object().cloned().unwrap_or_default();
        Item { kind: kind.into(), name: "public.s".into(), definition, ..Item::default() }
    }

    #[test]
    fn a_sequence_that_would_repeat_values_is_behind() {
        let up = sequence(1, false);
        assert_eq!(standing(&up, &value(9, true), &value(8, true)), Standing::Behind);
        assert_eq!(standing(&up, &value(9, true), &value(9, false)), Standing::Behind);
        assert_eq!(standing(&up, &value(9, true), &value(10, false)), Standing::SameOrAhead);
        assert_eq!(standing(&up, &value(9, true), &value(41, true)), Standing::SameOrAhead);
        let down = sequence(-5, false);
        assert_eq!(standing(&down, &value(-10, true), &value(-5, true)), Standing::Behind);
        assert_eq!(standing(&down, &value(-10, true), &value(-15, true)), Standing::SameOrAhead);
    }

    #[test]
    fn a_cycling_sequence_has_no_order() {
        let cycle = sequence(1, true);
        assert_eq!(standing(&cycle, &value(9, true), &value(1, true)), Standing::Cycled);
        assert_eq!(standing(&cycle, &value(9, true), &value(9, true)), Standing::SameOrAhead);
    }

    #[test]
    fn a_value_of_the_column_is_used() {
        assert!(is_used(&sequence(1, false), &value(9, true), Some("10")));
        assert!(!is_used(&sequence(1, false), &value(9, true), Some("9")));
        assert!(!is_used(&sequence(1, false), &value(9, true), None));
        assert!(is_used(&sequence(-1, false), &value(9, true), Some("8")));
        assert!(is_used(&sequence(1, false), &value(1, false), Some("1")));
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        let up = sequence(i64::MAX, false);
        assert_eq!(standing(&up, &value(i64::MAX, true), &value(i64::MIN, true)), Standing::Behind);
    }
}
