//! What was found out already about one table as one identity, so that it is asked once: policies of several commands often say the same.

use super::question::{Place, Rows};
use crate::pg::condition::{Condition, Folded, Parameters};
use std::cell::RefCell;

/// Answers of one identity about one table. They are true as long as nothing changes, and live in the memory context that was current when
/// they were found: as long as an examination at most.
#[derive(Default)]
pub struct Memo {
    folded: RefCell<Vec<(Condition, Folded)>>,
    foreign: RefCell<Option<Folded>>,
    rows: RefCell<Vec<(Sought, Condition, Option<Place>)>>,
    run: RefCell<Vec<Condition>>,
}

/// Which rows were looked for, and at what cost at most.
#[derive(PartialEq)]
struct Sought {
    kind: u8,
    users: Vec<String>,
    /// The same place has the same pointer.
    at: Option<(pgrx::pg_sys::Oid, usize)>,
    cost: f64,
}

impl Sought {
    fn new(rows: &Rows<'_>, cost: f64) -> Self {
        let (kind, users, at) = match rows {
            Rows::Foreign => (0, Vec::new(), None),
            Rows::Of(users) => (1, users.to_vec(), None),
            Rows::Own(owner) => (2, vec![owner.to_string()], None),
            Rows::At((table, place)) => (3, Vec::new(), Some((*table, place.value()))),
            Rows::Any => (4, Vec::new(), None),
        };
        Self { kind, users, at, cost }
    }
}

impl Memo {
    /// [`Condition::fold`] without parameters.
    pub fn fold(&self, condition: Condition) -> Folded {
        let mut left = Folded::Always;
        for term in condition.terms() {
            let is_it = |known: &&(Condition, Folded)| known.0.is_same(term);
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
    pub fn foreign<E>(&self, ask: impl FnOnce() -> Result<Folded, E>) -> Result<Folded, E> {
        if let Some(known) = *self.foreign.borrow() {
            return Ok(known);
        }
        let folded = ask()?;
        *self.foreign.borrow_mut() = Some(folded);
        Ok(folded)
    }

    /// The first row of a kind that meets a condition.
    pub fn first<E>(
        &self,
        rows: &Rows<'_>,
        condition: Condition,
        cost: f64,
        look: impl FnOnce(Condition) -> Result<Option<Place>, E>,
    ) -> Result<Option<Place>, E> {
        let sought = Sought::new(rows, cost);
        let condition = condition.distinct();
        let is_it = |known: &&(Sought, Condition, Option<Place>)| known.0 == sought && known.1.is_same(condition);
        if let Some(known) = self.rows.borrow().iter().find(is_it) {
            return Ok(known.2);
        }
        let found = look(condition)?;
        self.rows.borrow_mut().push((sought, condition, found));
        Ok(found)
    }

    /// A statement with this condition ran.
    pub fn ran(&self, condition: Condition) {
        self.run.borrow_mut().extend(condition.terms());
    }

    /// What of a condition was in no statement yet that ran.
    pub fn not_run(&self, condition: Condition) -> Condition {
        let run = self.run.borrow();
        let is_new = |term: &Condition| !run.iter().any(|known| known.is_same(*term));
        condition.distinct().terms().into_iter().filter(is_new).fold(Condition::ALWAYS, Condition::and)
    }
}
