//! The users whose eyes an audit looks with.

use super::application::{Identity, Role, Surroundings};
use super::teams::Teams;
use crate::rls::error::RlsError;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::rc::Rc;

/// How many users are tried where a table does not say whose rows it has.
const POOL: u64 = 6;

/// Users, and what their claims are made of.
#[derive(Default)]
pub struct People {
    accounts: HashMap<String, Option<Map<String, Value>>>,
    /// Some users, the first by key.
    pub pool: Vec<String>,
    teams: Option<Rc<Teams>>,
}

impl People {
    /// Finds some.
    pub fn find(surroundings: &Surroundings) -> Result<Self, RlsError> {
        let mut people = Self::default();
        let ids = surroundings.first_accounts(POOL)?;
        people.pool = people.known(surroundings, ids)?;
        Ok(people)
    }

    /// Those of some ids that are users'.
    pub fn known(&mut self, surroundings: &Surroundings, ids: Vec<String>) -> Result<Vec<String>, RlsError> {
        let missing: Vec<String> = ids.iter().filter(|id| !self.accounts.contains_key(*id)).cloned().collect();
        if !missing.is_empty() {
            let mut found: HashMap<String, Map<String, Value>> = surroundings.accounts(&missing)?.into_iter().collect();
            for id in missing {
                let account = found.remove(&id);
                self.accounts.insert(id, account);
            }
        }
        Ok(ids.into_iter().filter(|id| matches!(self.accounts.get(id), Some(Some(_)))).collect())
    }

    /// Who belongs together; looked for when it is asked first.
    pub fn teams(&mut self, surroundings: &Surroundings) -> Rc<Teams> {
        let find = || Teams::find(surroundings).unwrap_or_default();
        Rc::clone(self.teams.get_or_insert_with(|| Rc::new(find())))
    }

    /// A user as a request of theirs.
    pub fn identity(&self, surroundings: &Surroundings, role: &Role, id: &str) -> Identity {
        surroundings.user(role, id, self.accounts.get(id).and_then(Option::as_ref))
    }
}
