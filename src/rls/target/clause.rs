//! Facts about the clauses of policies.

use crate::pg::rewrite::claims::ClaimUses;
use crate::pg::rewrite::policy_expr::ExprFacts;
use pgrx::pg_sys;
use std::rc::Rc;

/// Facts about one clause of a policy.
#[derive(Debug, Clone)]
pub struct ClauseFacts {
    /// Oid of the policy.
    pub policy: pg_sys::Oid,
    /// Oid of the table.
    pub relation: pg_sys::Oid,
    /// `using` or `check`.
    pub clause: &'static str,
    /// The clause as pg_node_tree text.
    pub tree: Rc<str>,
    /// true, false or null; `None` if the clause is not a constant.
    pub constant: Option<&'static str>,
    /// The functions, columns and settings that the expression uses.
    pub facts: ExprFacts,
    /// Settings named in the bodies of the functions that it calls.
    pub inner_settings: Vec<String>,
    /// Whether a function that it calls reads the time.
    pub functions_read_time: bool,
    /// Claims that the clause, or a function that it calls, reads.
    pub claims: ClaimUses,
    /// How far the analysis came.
    pub analysis: Analysis,
}

impl ClauseFacts {
    /// Names of the settings that the clause, or a function that it calls, reads.
    pub fn settings(&self) -> impl Iterator<Item = &String> {
        self.facts.settings.iter().chain(&self.inner_settings)
    }

    /// Whether the clause, or a function that it calls, reads a claim.
    pub fn reads_claim(&self, name: &str) -> bool {
        self.claims.keys().any(|path| path.iter().map(String::as_str).eq([name]))
    }
}

/// How far the analysis of a clause came, with the reason where it ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Analysis {
    /// All facts are there.
    Complete,
    /// The facts of inlined functions and the constant are missing.
    NotSimplified(String),
    /// All facts are missing.
    Failed(String),
}

impl Analysis {
    /// The reason why facts are missing.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Complete => None,
            Self::NotSimplified(why) | Self::Failed(why) => Some(why),
        }
    }
}
