//! One verdict of the audit's matrix: an identity, a reach and the evidence.

use crate::rls::model::{Reach, Verdict};
use crate::rls::target::policy::Policy;
use pgrx::pg_sys;
use std::collections::BTreeMap;

/// The verdict on one reach of one identity in one table.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Label of the identity in reports.
    pub identity: String,
    /// Role of the request.
    pub role: pg_sys::Oid,
    /// Whether the claims name a user.
    pub has_user: bool,
    /// The reach that was probed.
    pub reach: Reach,
    /// The result.
    pub verdict: Verdict,
    /// USING qual that the server enforces, as SQL, folded with the identity's claims.
    pub using: String,
    /// WITH CHECK qual that the server enforces, as SQL, folded likewise.
    pub check: String,
    /// Policies that let the rows through; empty if nothing is reached or none was identified.
    pub responsible_policies: Vec<Policy>,
    /// Observations that support the verdict; empty for none.
    pub evidence: String,
    /// Whether the rows are those of hidden parent rows, because the table has no owner column.
    pub is_by_parent: bool,
}

impl Cell {
    /// Appends an observation to the evidence.
    pub fn add(&mut self, observation: &str) {
        if !self.evidence.is_empty() {
            self.evidence += "; ";
        }
        self.evidence += observation;
    }
}

/// The worst cell of each reach and role.
pub fn worst_cells(cells: &[Cell]) -> BTreeMap<(Reach, u32), &Cell> {
    let rank = |verdict: &Verdict| match verdict {
        Verdict::Leak(confidence, audience) => (0, *audience as u8, *confidence as u8),
        Verdict::Public(confidence) => (1, *confidence as u8, 0),
        Verdict::Exempt => (2, 0, 0),
        Verdict::Failing(_) => (3, 0, 0),
        Verdict::Inconclusive(_) => (4, 0, 0),
        Verdict::Shared => (5, 0, 0),
        Verdict::Granted => (6, 0, 0),
        Verdict::IsolatedIn(_) => (7, 0, 0),
        Verdict::Isolated => (8, 0, 0),
        Verdict::Closed => (9, 0, 0),
        Verdict::NoAccess => (10, 0, 0),
    };
    let mut worst: BTreeMap<(Reach, u32), &Cell> = BTreeMap::new();
    for cell in cells {
        let known = worst.entry((cell.reach, cell.role.to_u32())).or_insert(cell);
        if rank(&cell.verdict) < rank(&known.verdict) {
            *known = cell;
        }
    }
    worst
}
