//! State of the examination of one table, shared by the probes of all identities.

use super::probe::Probe;
use super::probe_cache::ProbeCache;
use super::reach_probe::command;
use crate::pg::cstring::c_string;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, Effective, Undecidable};
use crate::pg::xact::session;
use crate::rls::model::Reach;
use crate::rls::target::application::Application;
use crate::rls::target::claims::ClaimPlan;
use crate::rls::target::identity::Identity;
use crate::rls::target::policy::{ClauseFacts, Policy};
use crate::rls::target::roles::Role;
use crate::rls::target::table::Table;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// One table under examination. It must not outlive the memory context it is created in: its caches
/// hold quals allocated there.
pub struct Examination<'a> {
    /// The examined table.
    pub table: &'a Table,
    pub(crate) application: &'a Application,
    /// The table's policies.
    pub(crate) policies: &'a [Policy],
    /// Ids of some accounts that own rows of the table.
    pub owners: Vec<String>,
    /// Facts about the clauses of the policies.
    pub facts: &'a [ClauseFacts],
    /// Values of claims to try beside those of accounts.
    pub claims: ClaimPlan,
    effective_quals: RefCell<HashMap<(pg_sys::Oid, Command), Effective>>,
    probe_caches: RefCell<HashMap<Identity, Rc<ProbeCache>>>,
}

impl<'a> Examination<'a> {
    /// An examination with empty caches and no known owners.
    pub fn new(table: &'a Table, application: &'a Application, policies: &'a [Policy]) -> Self {
        Self {
            table,
            application,
            policies,
            owners: Vec::new(),
            facts: &[],
            claims: ClaimPlan::default(),
            effective_quals: RefCell::default(),
            probe_caches: RefCell::default(),
        }
    }

    /// A probe of the table that shares results with earlier probes of the same identity.
    pub(crate) fn probe<'b>(&'b self, identity: &'b Identity) -> Probe<'b> {
        let known = self.probe_caches.borrow().get(identity).map(Rc::clone);
        let cache = known.unwrap_or_else(|| {
            Rc::clone(self.probe_caches.borrow_mut().entry(identity.clone()).or_default())
        });
        Probe { table: self.table, identity, cache }
    }

    /// The quals that the server enforces for the identity's role, not yet folded with its claims.
    pub(crate) fn effective(
        &self,
        identity: &Identity,
        reach: Reach,
    ) -> Result<Effective, Undecidable> {
        let key = (identity.role, command(reach));
        if let Some(known) = self.effective_quals.borrow().get(&key) {
            return Ok(*known);
        }
        let effective = row_security::effective(key.1, &self.table.named)?;
        self.effective_quals.borrow_mut().insert(key, effective);
        Ok(effective)
    }

    /// A setting that policies read, that the identity does not have, and that is empty instead of
    /// NULL because the session has set it before.
    pub(crate) fn emptied_setting(&self, identity: &Identity) -> Option<&'a String> {
        let is_emptied = |setting: &&String| {
            setting.contains('.')
                && !identity.has_setting(setting)
                && session::has_setting(&c_string(setting))
        };
        self.facts.iter().flat_map(ClauseFacts::settings).find(is_emptied)
    }

    /// The known owners other than the identity.
    pub(crate) fn other_owners(&self, identity: &Identity) -> Vec<String> {
        let is_other = |owner: &&String| Some(owner.as_str()) != identity.user.as_deref();
        self.owners.iter().filter(is_other).cloned().collect()
    }

    /// The users whom own rows are given to: the other owners, or an unused id if there are none.
    pub(crate) fn victims(&self, other_owners: &[String]) -> Vec<String> {
        if other_owners.is_empty() {
            vec![self.application.unused_id()]
        } else {
            other_owners.to_vec()
        }
    }

    /// The client role of an identity.
    pub(crate) fn role(&self, identity: &Identity) -> Option<&'a Role> {
        self.application.roles.iter().find(|role| role.oid == identity.role)
    }
}
