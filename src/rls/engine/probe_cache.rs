//! What was found out already about one table as one identity, so that it is asked once: policies of several commands often say the same.

use super::probe::{Place, Rows};
use crate::pg::rewrite::qual::{ConstFolded, Parameters, Qual};
use std::cell::RefCell;

/// Answers of one identity about one table. They are true as long as nothing changes, and live in the memory context that was current when
/// they were found: as long as an examination at most.
#[derive(Default)]
pub struct Memo {
    folded: RefCell<Vec<(Qual, ConstFolded)>>,
    foreign: RefCell<Option<ConstFolded>>,
    found: RefCell<Vec<Answer>>,
    run: RefCell<Vec<Qual>>,
}

/// Rows that were found.
struct Answer {
    sought: Sought,
    /// All of which they meet.
    terms: Vec<Qual>,
    /// How many were looked for, and at what cost at most.
    limits: (u64, f64),
    places: Vec<Place>,
}

/// Which rows were looked for.
#[derive(PartialEq)]
enum Sought {
    Any,
    Foreign,
    Of(Vec<String>),
    Own(usize),
    /// The same place has the same pointer.
    At(pgrx::pg_sys::Oid, usize),
}

impl Sought {
    fn new(rows: &Rows<'_>) -> Self {
        match rows {
            Rows::Any => Self::Any,
            Rows::Foreign => Self::Foreign,
            Rows::Of(users) => Self::Of(users.to_vec()),
            Rows::Own(owner) => Self::Own(*owner),
            Rows::At((table, place)) => Self::At(*table, place.value()),
        }
    }

    /// Whether these are among them.
    fn has(&self, other: &Self) -> bool {
        self == other || matches!((self, other), (Self::Foreign, Self::Of(_)))
    }
}

impl Answer {
    /// Whether it answers this question too. Where there is no row, there is none of which more is asked, whatever the limits are.
    fn is_about(&self, sought: &Sought, terms: &[Qual], limits: (u64, f64)) -> bool {
        let is_asked = |term: &Qual| terms.iter().any(|asked| asked.is_same(*term));
        let is_none = self.places.is_empty() && self.sought.has(sought);
        let is_it = self.limits == limits && self.terms.len() == terms.len() && self.sought == *sought;
        (is_none || is_it) && self.terms.iter().all(is_asked)
    }
}

impl Memo {
    /// [`Qual::fold`] without parameters.
    pub fn fold(&self, condition: Qual) -> ConstFolded {
        let mut left = ConstFolded::True;
        for term in condition.terms() {
            let is_it = |known: &&(Qual, ConstFolded)| known.0.is_same(term);
            let known = self.folded.borrow().iter().find(is_it).map(|known| known.1);
            let folded = known.unwrap_or_else(|| {
                let folded = term.fold(&Parameters::none());
                self.folded.borrow_mut().push((term, folded));
                folded
            });
            left = left.and(folded);
        }
        left
    }

    /// What rows of others are, folded.
    pub fn foreign<E>(&self, ask: impl FnOnce() -> Result<ConstFolded, E>) -> Result<ConstFolded, E> {
        if let Some(known) = *self.foreign.borrow() {
            return Ok(known);
        }
        let folded = ask()?;
        *self.foreign.borrow_mut() = Some(folded);
        Ok(folded)
    }

    /// Some rows of a kind that meet a condition.
    pub fn places<E>(
        &self,
        rows: &Rows<'_>,
        condition: Qual,
        limits: (u64, f64),
        look: impl FnOnce(Qual) -> Result<Vec<Place>, E>,
    ) -> Result<Vec<Place>, E> {
        let sought = Sought::new(rows);
        let condition = condition.distinct();
        let terms = condition.terms();
        if let Some(known) = self.found.borrow().iter().find(|known| known.is_about(&sought, &terms, limits)) {
            return Ok(known.places.clone());
        }
        let places = look(condition)?;
        self.found.borrow_mut().push(Answer { sought, terms, limits, places: places.clone() });
        Ok(places)
    }

    /// A statement with this condition ran.
    pub fn ran(&self, condition: Qual) {
        self.run.borrow_mut().extend(condition.terms());
    }

    /// What of a condition was in no statement yet that ran.
    pub fn not_run(&self, condition: Qual) -> Qual {
        let run = self.run.borrow();
        let is_new = |term: &Qual| !run.iter().any(|known| known.is_same(*term));
        condition.distinct().terms().into_iter().filter(is_new).fold(Qual::ALWAYS, Qual::and)
    }
}
