//! The accounts that the audit examines tables as, with the claims of each.

use super::application::{Account, Application};
use super::identity::Identity;
use super::roles::Role;
use super::teams::Teams;
use crate::rls::error::RlsError;
use std::collections::HashMap;
use std::rc::Rc;

/// How many accounts are sampled for tables without an owner column.
const SAMPLE_SIZE: u64 = 6;

/// Accounts that were looked up, by id; `None` for an id without an account.
#[derive(Default)]
pub struct AccountPool {
    accounts: HashMap<String, Option<Account>>,
    /// Ids of some accounts, in order of the key.
    pub sample: Vec<String>,
    teams: Option<Rc<Teams>>,
}

impl AccountPool {
    /// A pool with a sample of accounts.
    pub fn find(application: &Application) -> Result<Self, RlsError> {
        let mut pool = Self::default();
        let ids = application.first_accounts(SAMPLE_SIZE)?;
        pool.sample = pool.load_existing(application, ids)?;
        Ok(pool)
    }

    /// Looks up ids and returns those that belong to an account.
    pub fn load_existing(
        &mut self,
        application: &Application,
        ids: Vec<String>,
    ) -> Result<Vec<String>, RlsError> {
        let missing: Vec<String> =
            ids.iter().filter(|id| !self.accounts.contains_key(*id)).cloned().collect();
        if !missing.is_empty() {
            let mut found: HashMap<String, Account> =
                application.accounts(&missing)?.into_iter().collect();
            for id in missing {
                let account = found.remove(&id);
                self.accounts.insert(id, account);
            }
        }
        Ok(ids.into_iter().filter(|id| matches!(self.accounts.get(id), Some(Some(_)))).collect())
    }

    /// Ids of the accounts that were looked up.
    pub fn known(&self) -> impl Iterator<Item = &String> {
        self.accounts.iter().filter(|(_, account)| account.is_some()).map(|(id, _)| id)
    }

    /// The teams of all users, read at the first call.
    pub fn teams(&mut self, application: &Application) -> Rc<Teams> {
        let find = || Teams::find(application).unwrap_or_default();
        Rc::clone(self.teams.get_or_insert_with(|| Rc::new(find())))
    }

    /// The identity of a user, with the claims of the account if the pool has one.
    pub fn identity(&self, application: &Application, role: &Role, id: &str) -> Identity {
        application.user(role, id, self.accounts.get(id).and_then(Option::as_ref))
    }
}
