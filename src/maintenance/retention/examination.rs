//! Whether a policy can be applied now, and the reason if not. Reads catalogs and no rows.

use super::error::RetentionError;
use super::hold;
use super::policy::Policy;
use super::target::{Leaf, Target, forbidden_cascade};
use crate::access::as_owner;
use crate::maintenance::tasks::words;
use crate::pg::access::scan;
use crate::pg::catalog::privilege;
use crate::pg::xact::sec_context::as_restricted_role;
use crate::pg::xact::subtransaction::{Failure, rolled_back};
use crate::pg::xact::{lock_holder, lock_wait};
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

/// The table of the policy and the tables that hold its rows, if nothing is in the way.
pub fn examine(policy: &Policy) -> Result<(Target, Vec<Leaf>), Obstacle> {
    without_locks(|| look(policy)).and_then(|result| result)
}

/// Runs `work`, which waits for locks 2 s at most, and keeps no lock that the worker would meet.
pub fn without_locks<R>(work: impl FnOnce() -> Result<R, RetentionError>) -> Result<R, Obstacle> {
    let result = lock_wait::in_scope(|_| match rolled_back(AssertUnwindSafe(work)) {
        Err(failure) if failure.is_lock_timeout() => {
            let holder = lock_wait::last_holder();
            let command = holder.as_ref().map(|holder| lock_holder::hint(Some(holder)));
            Err(Obstacle { is_fault: false, detail: words(holder.as_ref()), command })
        }
        other => Ok(other),
    })?;
    match result.map_err(Failure::rethrow_interrupt) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(Obstacle::fault(error.to_string())),
        Err(failure) => Err(Obstacle::fault(failure.redacted_message())),
    }
}

fn look(policy: &Policy) -> Result<Result<(Target, Vec<Leaf>), Obstacle>, RetentionError> {
    let target = Target::find(&policy.target, &policy.time_column, policy.action)?;
    let role = policy.role(target.owner)?;
    // The caller may lack privileges that the names in it need.
    as_restricted_role(role, || hold::check(policy, &target))?;
    let leaves = target.leaves(&policy.time_column)?;
    for leaf in &leaves {
        // The owner of a table is exempt from its policies here.
        let owner = scan::owner_of(leaf.table).unwrap_or(pg_sys::InvalidOid);
        if privilege::is_enforced(leaf.table, role) && !privilege::has_those_of(role, owner) {
            let detail = format!("row-level security of {} applies to its author", leaf.name);
            return Ok(Err(Obstacle::fault(detail)));
        }
    }
    let forbidden = as_owner(|| forbidden_cascade(policy, &target))?;
    Ok(match forbidden {
        None => Ok((target, leaves)),
        Some((detail, command)) => Err(Obstacle { is_fault: false, detail, command }),
    })
}
