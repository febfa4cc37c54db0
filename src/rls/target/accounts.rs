//! The users whose eyes an audit looks with.

use super::application::{Application, Identity, Role};
use super::teams::Teams;
use crate::rls::error::RlsError;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::rc::Rc;

/// How many users are tried where a table does not say whose rows it has.
const POOL: u64 = 6;

/// Users, and what their claims are made of.
#[derive(Default)]
pub struct AccountPool {
    accounts: HashMap<String, Option<Map<String, Value>>>,
    /// Some users, the first by key.
    pub sample: Vec<String>,
    teams: Option<Rc<Teams>>,
}

impl AccountPool {
    /// Finds some.
    pub fn find(application: &Application) -> Result<Self, RlsError> {
        let mut accounts = Self::default();
        let ids = application.first_accounts(POOL)?;
        accounts.sample = accounts.load_existing(application, ids)?;
        Ok(accounts)
    }

    /// Those of some ids that are users'.
    pub fn load_existing(&mut self, application: &Application, ids: Vec<String>) -> Result<Vec<String>, RlsError> {
        let missing: Vec<String> = ids.iter().filter(|id| !self.accounts.contains_key(*id)).cloned().collect();
        if !missing.is_empty() {
            let mut found: HashMap<String, Map<String, Value>> = application.accounts(&missing)?.into_iter().collect();
            for id in missing {
                let account = found.remove(&id);
                self.accounts.insert(id, account);
            }
        }
        Ok(ids.into_iter().filter(|id| matches!(self.accounts.get(id), Some(Some(_)))).collect())
    }

    /// Who belongs together; looked for when it is asked first.
    pub fn teams(&mut self, application: &Application) -> Rc<Teams> {
        let find = || Teams::find(application).unwrap_or_default();
        Rc::clone(self.teams.get_or_insert_with(|| Rc::new(find())))
    }

    /// A user as a request of theirs.
    pub fn identity(&self, application: &Application, role: &Role, id: &str) -> Identity {
        application.user(role, id, self.accounts.get(id).and_then(Option::as_ref))
    }
}
