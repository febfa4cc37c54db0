//! Whether a window is open, with overlapping windows taken together. Pure.

/// One opening of a window. Times are microseconds since 2000-01-01 00:00 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) window: String,
    pub(super) start: i64,
    /// The first instant after it.
    pub(super) end: i64,
}

/// Whether maintenance may run. Times are microseconds since 2000-01-01 00:00 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// No window is defined.
    AnyTime,
    /// A window is open.
    Until {
        /// The first instant at which no window is open. Windows that overlap or touch are one.
        end: i64,
        /// The open window; of several the one that began first.
        window: String,
    },
    /// Windows are defined and none is open.
    Closed {
        /// The next start and its window; `None` if no window opens within 400 days.
        next: Option<(i64, String)>,
    },
}

/// The permission at `now`. `openings` are in the order of their starts.
pub(super) fn permission(now: i64, is_defined: bool, openings: &[Opening]) -> Permission {
    if !is_defined {
        return Permission::AnyTime;
    }
    let is_open = |opening: &&Opening| opening.start <= now && now < opening.end;
    let Some(first) = openings.iter().find(is_open) else {
        let next = openings.iter().find(|opening| opening.start > now);
        return Permission::Closed {
            next: next.map(|opening| (opening.start, opening.window.clone())),
        };
    };
    let mut end = first.end;
    for opening in openings {
        if opening.start <= end {
            end = end.max(opening.end);
        }
    }
    Permission::Until { end, window: first.window.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(window: &str, start: i64, end: i64) -> Opening {
        Opening { window: window.to_owned(), start, end }
    }

    fn until(end: i64, window: &str) -> Permission {
        Permission::Until { end, window: window.to_owned() }
    }

    #[test]
    fn windows_that_overlap_or_touch_count_as_one() {
        let openings = [
            opening("a", 0, 10),
            opening("inner", 2, 4),
            opening("b", 8, 20),
            opening("touching", 20, 30),
            opening("apart", 31, 40),
        ];
        assert_eq!(permission(5, true, &openings), until(30, "a"));
        assert_eq!(permission(29, true, &openings), until(30, "touching"));
        assert_eq!(permission(31, true, &openings), until(40, "apart"));
    }

    #[test]
    fn the_end_of_a_window_is_outside() {
        let openings = [opening("a", 0, 10), opening("b", 20, 30)];
        assert_eq!(permission(0, true, &openings), until(10, "a"));
        let next = Permission::Closed { next: Some((20, "b".to_owned())) };
        assert_eq!(permission(10, true, &openings), next);
        assert_eq!(permission(30, true, &openings), Permission::Closed { next: None });
    }

    #[test]
    fn without_windows_any_time_is_allowed_and_a_cancelled_one_allows_none() {
        assert_eq!(permission(5, false, &[]), Permission::AnyTime);
        assert_eq!(permission(5, true, &[]), Permission::Closed { next: None });
    }
}
