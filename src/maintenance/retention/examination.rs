//! Whether a policy can be applied now, and the reason if not. Reads catalogs and no rows.

use super::error::RetentionError;
use super::hold;
use super::policy::Policy;
use super::target::{Target, forbidden_cascade};
use crate::access::as_owner;
use crate::pg::access::scan;
use crate::pg::catalog::privilege;
use crate::pg::xact::subtransaction::{Failure, rolled_back};
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

/// The reason why a policy is not applied.
#[derive(Debug, Clone)]
pub struct Obstacle {
    /// Whether the policy is wrong, and not only too cautious.
    pub is_fault: bool,
    /// The reason, a sentence without a period.
    pub detail: String,
    /// A command that helps.
    pub command: Option<String>,
}

impl Obstacle {
    fn fault(detail: String) -> Self {
        Self { is_fault: true, detail, command: None }
    }
}

/// The table of the policy, if nothing is in the way. Keeps no lock, which the worker would meet.
pub fn examine(policy: &Policy) -> Result<Target, Obstacle> {
    match rolled_back(AssertUnwindSafe(|| look(policy))).map_err(Failure::rethrow_interrupt) {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(Obstacle::fault(error.to_string())),
        Err(failure) => Err(Obstacle::fault(failure.redacted_message())),
    }
}

fn look(policy: &Policy) -> Result<Result<Target, Obstacle>, RetentionError> {
    let target = Target::find(&policy.target, &policy.time_column, policy.action)?;
    hold::check(policy, &target)?;
    let role = policy.role(target.owner)?;
    for leaf in target.leaves(&policy.time_column)? {
        // The owner of a table is exempt from its policies here.
        let owner = scan::owner_of(leaf.table).unwrap_or(pg_sys::InvalidOid);
        if privilege::is_enforced(leaf.table, role) && !privilege::has_those_of(role, owner) {
            let detail = format!("row-level security of {} applies to its author", leaf.name);
            return Ok(Err(Obstacle::fault(detail)));
        }
    }
    let forbidden = as_owner(|| forbidden_cascade(policy, &target))?;
    Ok(match forbidden {
        None => Ok(target),
        Some((detail, command)) => Err(Obstacle { is_fault: false, detail, command }),
    })
}
