//! A row that the policies of a command are asked about.

use super::relation::Relation;
use super::row::Row;
use crate::pg::rewrite::row_security::Command;
use crate::rls::target::identity::Identity;
use crate::rls::target::policy::Policy;
use pgrx::pg_sys;

/// The reason why policies are asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The command itself reads the row.
    Read,
    /// The command writes the row.
    Write,
    /// The WHERE clause of UPDATE or DELETE reads the row.
    Where,
    /// The row that an UPDATE with WHERE writes must stay visible.
    StaysVisible,
    /// RETURNING reads the row that an INSERT writes.
    Returning,
}

/// A row that the policies of a command are asked about.
pub struct Question<'a> {
    /// The request.
    pub identity: &'a Identity,
    /// Functions that return the identity of a request.
    pub identity_functions: &'a [pg_sys::Oid],
    /// The table as the role finds it.
    pub relation: &'a Relation,
    /// All policies of the table.
    pub policies: &'a [Policy],
    /// The command whose policies are asked.
    pub command: Command,
    /// The row.
    pub row: &'a Row,
    /// The reason.
    pub purpose: Purpose,
}

impl Question<'_> {
    /// Whether WITH CHECK is asked, and not USING.
    pub fn is_about_new_row(&self) -> bool {
        self.purpose == Purpose::Write
    }
    /// The clause of a policy that is asked, as pg_node_tree text.
    pub fn clause<'a>(&self, policy: &'a Policy) -> Option<&'a str> {
        match self.is_about_new_row() {
            true => policy.check.as_deref().or(policy.using.as_deref()),
            false => policy.using.as_deref(),
        }
    }
}
