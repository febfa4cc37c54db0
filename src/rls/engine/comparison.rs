//! Compares the verdicts on a table before and after a change.

use super::cell::Cell;
use crate::rls::model::{Audience, Reach, Verdict};
use pgrx::pg_sys;

/// The width of a reach to foreign rows, narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// None.
    None,
    /// Rows of related users, or those that the policies grant to a role or claim.
    Shared,
    /// Unknown: the probe failed or decided nothing.
    Unknown,
    /// Rows of any user.
    Open(Audience),
}

impl Width {
    /// The width that a verdict shows.
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::NoAccess | Verdict::Closed | Verdict::Isolated | Verdict::IsolatedIn(_) => {
                Self::None
            }
            Verdict::Shared | Verdict::Granted => Self::Shared,
            Verdict::Failing(_) | Verdict::Inconclusive(_) => Self::Unknown,
            Verdict::Leak(_, audience) => Self::Open(*audience),
            Verdict::Public(_) | Verdict::Exempt => Self::Open(Audience::Anonymous),
        }
    }

    fn is_open(self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Whether this is wider than an earlier width.
    fn opens(self, before: Self) -> bool {
        match (before, self) {
            // A wider audience has the smaller value.
            (Self::Open(before), Self::Open(now)) => now < before,
            _ => self > before,
        }
    }
}

/// The difference that a change makes to one reach of one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The role.
    pub role: pg_sys::Oid,
    /// The reach.
    pub reach: Reach,
    /// Text that names the widest identity.
    pub identity: String,
    /// The change.
    pub kind: DifferenceKind,
    /// Whether the table has no owner column.
    pub is_without_owner: bool,
}

/// A change of a reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    /// It is wider.
    Opened,
    /// It is still open.
    StillOpen,
    /// It was known or open, and is unknown now.
    Undecided,
    /// A leak or an open write is closed.
    LeakClosed,
    /// Rows of related users are no longer reached, or rows without an owner no longer read.
    Lost,
}

/// The differences between the cells of a table before and after a change. Cells that are equally
/// wide on both sides are left out, unless they are open.
pub fn differences(before: &[Cell], after: &[Cell]) -> Vec<Difference> {
    let mut found: Vec<Difference> = Vec::new();
    let mut add = |cell: &Cell, kind: DifferenceKind| {
        let difference = Difference {
            role: cell.role,
            reach: cell.reach,
            identity: cell.identity.clone(),
            kind,
            is_without_owner: matches!(cell.verdict, Verdict::Public(_)),
        };
        let is_known = |known: &Difference| {
            (known.role, known.reach, known.kind) == (cell.role, cell.reach, kind)
        };
        if !found.iter().any(is_known) {
            found.push(difference);
        }
    };
    for now in after {
        let width = Width::of(&now.verdict);
        let earlier = width_of(before, now);
        if width == Width::Unknown && earlier < width {
            add(now, DifferenceKind::Undecided);
        } else if width.opens(earlier) && !earlier.is_open() {
            add(now, DifferenceKind::Opened);
        } else if width.is_open() {
            let kind = match width.opens(earlier) {
                true => DifferenceKind::Opened,
                false => DifferenceKind::StillOpen,
            };
            add(now, kind);
        }
    }
    for earlier in before {
        let was = Width::of(&earlier.verdict);
        let now = width_of(after, earlier);
        let kind = match (&earlier.verdict, now) {
            (_, Width::Open(_)) => continue,
            _ if was.is_open() && now == Width::Unknown => DifferenceKind::Undecided,
            (Verdict::Leak(..), _) => DifferenceKind::LeakClosed,
            (Verdict::Public(_), Width::None) if earlier.reach == Reach::Read => {
                DifferenceKind::Lost
            }
            (Verdict::Public(_), Width::None) => DifferenceKind::LeakClosed,
            (Verdict::Granted, Width::None) => DifferenceKind::Lost,
            // A row in another user's name is no shared row.
            (Verdict::Shared, Width::None)
                if matches!(earlier.reach, Reach::Read | Reach::Tamper | Reach::Destroy) =>
            {
                DifferenceKind::Lost
            }
            _ => continue,
        };
        add(earlier, kind);
    }
    found
}

/// The width of the same reach of the same identity in other cells. The engine leaves out accounts
/// once a leak to any new account is known, and they are as wide as that.
fn width_of(cells: &[Cell], like: &Cell) -> Width {
    let of_reach = |cell: &&Cell| cell.reach == like.reach && cell.role == like.role;
    let same = cells.iter().filter(of_reach).find(|cell| cell.identity == like.identity);
    if let Some(same) = same {
        return Width::of(&same.verdict);
    }
    let is_for_all = |cell: &&Cell| {
        matches!(cell.verdict, Verdict::Leak(_, Audience::AnyAccount) | Verdict::Exempt)
    };
    let exempt =
        cells.iter().find(|cell| cell.role == like.role && cell.verdict == Verdict::Exempt);
    let for_all = cells.iter().filter(of_reach).find(is_for_all).or(exempt);
    for_all.map_or(Width::None, |cell| Width::of(&cell.verdict))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rls::model::Confidence;

    fn cell(identity: &str, verdict: Verdict) -> Cell {
        Cell {
            identity: identity.to_owned(),
            role: pg_sys::Oid::from(1),
            has_user: true,
            reach: Reach::Read,
            verdict,
            using: String::new(),
            check: String::new(),
            responsible_policies: Vec::new(),
            evidence: String::new(),
            is_by_parent: false,
        }
    }

    fn kinds(before: Verdict, after: Verdict) -> Vec<DifferenceKind> {
        let found = differences(&[cell("a", before)], &[cell("a", after)]);
        found.into_iter().map(|difference| difference.kind).collect()
    }

    const LEAK: Verdict = Verdict::Leak(Confidence::Proved, Audience::AnyAccount);

    #[test]
    fn a_wider_verdict_opens() {
        use DifferenceKind::{LeakClosed, Lost, Opened, StillOpen, Undecided};
        assert_eq!(kinds(Verdict::Isolated, Verdict::Shared), [Opened]);
        assert_eq!(kinds(Verdict::Isolated, Verdict::IsolatedIn(3)), []);
        assert_eq!(kinds(Verdict::Closed, Verdict::Inconclusive(String::new())), [Undecided]);
        assert_eq!(kinds(Verdict::Failing(String::new()), LEAK), [Opened]);
        assert_eq!(kinds(LEAK, Verdict::Leak(Confidence::Proved, Audience::Anonymous)), [Opened]);
        assert_eq!(kinds(LEAK, LEAK), [StillOpen]);
        assert_eq!(kinds(LEAK, Verdict::Inconclusive(String::new())), [Undecided]);
        assert_eq!(kinds(LEAK, Verdict::Shared), [LeakClosed]);
        assert_eq!(kinds(Verdict::Shared, Verdict::Isolated), [Lost]);
        assert_eq!(kinds(Verdict::Public(Confidence::Proved), Verdict::Closed), [Lost]);
    }

    #[test]
    fn an_account_left_out_is_as_wide_as_a_new_account() {
        let after = [cell("new", Verdict::Isolated), cell("user", Verdict::Shared)];
        let found = differences(&[cell("new", LEAK)], &after);
        assert_eq!(found.iter().map(|d| d.kind).collect::<Vec<_>>(), [DifferenceKind::LeakClosed]);
        let found = differences(&[cell("new", Verdict::Isolated)], &after);
        assert_eq!(found.iter().map(|d| d.kind).collect::<Vec<_>>(), [DifferenceKind::Opened]);
    }
}
