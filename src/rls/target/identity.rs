//! A request as the audit plays it: a client role, the claims, and the user they name.

use crate::pg::xact::sec_context;
use crate::pg::xact::subtransaction::Failure;
use crate::pg::xact::timeout::{Stopped, with_timeout};
use crate::rls::model::Audience;
use pgrx::pg_sys;
use serde_json::{Map, Value};
use std::ffi::CString;
use std::panic::AssertUnwindSafe;

/// The claims of a request.
pub type Claims = Map<String, Value>;

/// The request of one user, or one without a user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Text that names the identity in reports; user ids are masked.
    pub label: String,
    /// The client role that the request runs as.
    pub role: pg_sys::Oid,
    /// The user's id as text; `None` if the claims name no user.
    pub user: Option<String>,
    /// Whether the user has an account with claims of its own. New accounts and requests without a
    /// user stand for everyone who can make such a request.
    pub is_account: bool,
    /// Everyone who can make the same request. `EveryUser` for an account: others have to be tried.
    pub audience: Audience,
    /// Whether the application gives the claims of the request to some users only.
    pub is_privileged: bool,
    /// Whether the claims name a team without rows, whose rows it may insert.
    pub is_scope: bool,
    /// Whether the audit invented the values of some claims. They need not be of the right type.
    pub is_tried: bool,
    /// Settings of the request: name and value.
    pub(super) settings: Vec<(CString, CString)>,
}

impl Identity {
    /// Whether the request has a setting. Names of settings have no case.
    pub fn has_setting(&self, name: &str) -> bool {
        let is_same =
            |known: &CString| known.to_str().is_ok_and(|known| known.eq_ignore_ascii_case(name));
        self.settings.iter().any(|(known, _)| is_same(known))
    }

    /// Runs `work` as the request would run. Its changes are rolled back.
    pub fn act<R>(&self, work: impl FnOnce() -> R) -> Result<R, Failure> {
        sec_context::as_client(self.role, &self.settings, AssertUnwindSafe(work))
    }

    /// Like [`Self::act`], for at most `milliseconds`. Interrupts are raised again.
    pub fn act_within<R>(&self, milliseconds: i32, work: impl FnOnce() -> R) -> Result<R, Stopped> {
        as_client_within(milliseconds, self.role, &self.settings, work)
    }
}

/// Runs `work` as a client role for at most `milliseconds`. Interrupts are raised again.
pub(super) fn as_client_within<R>(
    milliseconds: i32,
    role: pg_sys::Oid,
    settings: &[(CString, CString)],
    work: impl FnOnce() -> R,
) -> Result<R, Stopped> {
    let (result, has_expired) = with_timeout(milliseconds, || {
        sec_context::as_client(role, settings, AssertUnwindSafe(work))
    });
    result.map_err(|failure| match has_expired {
        true => Stopped::TimedOut(milliseconds),
        false => Stopped::Failed(failure.rethrow_interrupt()),
    })
}

/// A user id as reports show it: the start of its md5, which only a reader who knows the id can
/// match.
#[must_use]
pub fn masked(id: &str) -> String {
    let hash = crate::pg::builtins::md5(id);
    format!("user {}", hash.get(..8).unwrap_or(&hash))
}
