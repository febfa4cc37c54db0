//! Caches probe results per identity and table: policies of several commands often share quals.

use super::rows::{RowId, RowScope};
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::value::Parameters;
use std::cell::RefCell;

/// Results of one identity's probes of one table.
///
/// The entries assume that neither data nor policies change. Their quals live in the memory context
/// that was current when they were added, so a cache must not outlive its examination.
#[derive(Default)]
pub struct ProbeCache {
    folded: RefCell<Vec<(Qual, ConstFolded)>>,
    foreign_qual: RefCell<Option<ConstFolded>>,
    found: RefCell<Vec<CachedRows>>,
    run_terms: RefCell<Vec<Qual>>,
}

/// The rows that one probe found.
struct CachedRows {
    scope: RowScopeKey,
    /// The conjuncts that the rows satisfy.
    terms: Vec<Qual>,
    /// Row limit and cost limit of the probe.
    limits: (u64, f64),
    rows: Vec<RowId>,
}

/// [`RowScope`] in a form that can be kept and compared.
#[derive(PartialEq)]
enum RowScopeKey {
    Any,
    Foreign,
    OwnedBy(Vec<String>),
    Own(usize),
    /// Compares the ctid by pointer: the callers pass the same datum for the same row.
    At(pgrx::pg_sys::Oid, usize),
}

impl RowScopeKey {
    fn new(scope: &RowScope<'_>) -> Self {
        match scope {
            RowScope::Any => Self::Any,
            RowScope::Foreign => Self::Foreign,
            RowScope::OwnedBy(users) => Self::OwnedBy(users.to_vec()),
            RowScope::Own(owner) => Self::Own(*owner),
            RowScope::At((table, ctid)) => Self::At(*table, ctid.value()),
        }
    }

    fn includes(&self, other: &Self) -> bool {
        self == other || matches!((self, other), (Self::Foreign, Self::OwnedBy(_)))
    }
}

impl CachedRows {
    /// Whether this entry also answers another probe. An empty result holds for any narrower scope
    /// and any stricter qual, whatever the limits were.
    fn answers(&self, scope: &RowScopeKey, terms: &[Qual], limits: (u64, f64)) -> bool {
        let is_required = |term: &Qual| terms.iter().any(|required| required.is_same(*term));
        let is_empty_superset = self.rows.is_empty() && self.scope.includes(scope);
        let is_same_probe =
            self.limits == limits && self.terms.len() == terms.len() && self.scope == *scope;
        (is_empty_superset || is_same_probe) && self.terms.iter().all(is_required)
    }
}

impl ProbeCache {
    /// [`Qual::fold`] without parameters, term by term.
    pub fn fold(&self, qual: Qual) -> ConstFolded {
        let mut result = ConstFolded::True;
        for term in qual.terms() {
            let is_same = |known: &&(Qual, ConstFolded)| known.0.is_same(term);
            let known = self.folded.borrow().iter().find(is_same).map(|known| known.1);
            let folded = known.unwrap_or_else(|| {
                let folded = term.fold(&Parameters::none());
                self.folded.borrow_mut().push((term, folded));
                folded
            });
            result = result.and(folded);
        }
        result
    }

    /// The folded qual of foreign rows; `compute` runs at most once.
    pub fn foreign_qual<E>(
        &self,
        compute: impl FnOnce() -> Result<ConstFolded, E>,
    ) -> Result<ConstFolded, E> {
        if let Some(known) = *self.foreign_qual.borrow() {
            return Ok(known);
        }
        let folded = compute()?;
        *self.foreign_qual.borrow_mut() = Some(folded);
        Ok(folded)
    }

    /// Rows in a scope that satisfy a qual, from the cache or from `search`.
    pub fn find_rows<E>(
        &self,
        scope: &RowScope<'_>,
        qual: Qual,
        limits: (u64, f64),
        search: impl FnOnce(Qual) -> Result<Vec<RowId>, E>,
    ) -> Result<Vec<RowId>, E> {
        let scope = RowScopeKey::new(scope);
        let qual = qual.distinct();
        let terms = qual.terms();
        if let Some(known) =
            self.found.borrow().iter().find(|known| known.answers(&scope, &terms, limits))
        {
            return Ok(known.rows.clone());
        }
        let rows = search(qual)?;
        self.found.borrow_mut().push(CachedRows { scope, terms, limits, rows: rows.clone() });
        Ok(rows)
    }

    /// Records that a statement with this qual was executed.
    pub fn record_run(&self, qual: Qual) {
        self.run_terms.borrow_mut().extend(qual.terms());
    }

    /// The terms of a qual that no executed statement contained yet.
    pub fn terms_not_run(&self, qual: Qual) -> Qual {
        let run_terms = self.run_terms.borrow();
        let is_new = |term: &Qual| !run_terms.iter().any(|known| known.is_same(*term));
        qual.distinct().terms().into_iter().filter(is_new).fold(Qual::ALWAYS, Qual::and)
    }
}
