//! Requests of erasure, and their plans.

use super::error::{EXAMPLE, ErasureError};
use super::person::{Accounts, Person};
use super::query::{View, on_table, texts};
use crate::access::as_owner;
use crate::pg::builtins;
use crate::pg::catalog::lookup;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::xact::session::{require_latest_snapshot, require_writable};
use crate::pg::xact::snapshot;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// A row of crewsnow_ops.erasure_requests.
pub struct Request {
    /// The request.
    pub id: pgrx::Uuid,
    /// The person; `None` once executed.
    pub user: Option<String>,
    /// The text that takes the place of the person in trails.
    pub pseudonym: String,
}

impl Request {
    /// Reads a request. 42704 if it does not exist.
    pub fn read(id: pgrx::Uuid) -> Result<Self, ErasureError> {
        as_owner(|| {
            Spi::connect(|client| {
                let sql = include_str!("../../../sql/maintenance/erasure_request.sql");
                let rows = client.select(sql, Some(1), &[id.into()])?;
                if rows.is_empty() {
                    return Err(ErasureError::UnknownRequest(id.to_string()));
                }
                let row = rows.first();
                let pseudonym = row.get(2)?.unwrap_or_default();
                Ok(Self { id, user: row.get(1)?, pseudonym })
            })
        })
    }

    /// Reads a request and locks its row, so that no other session executes it.
    pub fn lock(id: pgrx::Uuid) -> Result<Self, ErasureError> {
        as_owner(|| {
            let sql = include_str!("../../../sql/maintenance/erasure_lock_request.sql");
            texts(View::Latest, sql, &[id.into()])
        })?;
        Self::read(id)
    }

    /// The person of an open request. 55000 once it is executed.
    pub fn person(&self, accounts: &Accounts) -> Result<Person, ErasureError> {
        let user = self.user.as_deref().ok_or(ErasureError::Executed(self.id.to_string()))?;
        Person::read(accounts, user)
    }
}

/// Stores a request. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL), 22023 (invalid id, empty reason), 25001, 25006, 42P01 (no users table),
/// 55000 (a request is open).
#[pg_extern(schema = "crewsnow_ops", requires = ["erasure"])]
#[search_path(pg_catalog, pg_temp)]
fn request_erasure(
    p_user_id: Option<&str>,
    p_reason: Option<&str>,
) -> Result<pgrx::Uuid, ErrorReport> {
    let null = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let id = p_user_id.ok_or_else(|| null("p_user_id"))?;
    let reason = p_reason.ok_or_else(|| null("p_reason"))?.trim();
    Ok(store(id, reason, None)?)
}

/// Stores a request; `replays` is the erasure that it repeats.
pub fn store(
    id: &str,
    reason: &str,
    replays: Option<pgrx::Uuid>,
) -> Result<pgrx::Uuid, ErasureError> {
    const ACTION: &str = "request an erasure";
    if reason.is_empty() {
        return Err(ErasureError::NoReason);
    }
    require_writable(ACTION)?;
    require_latest_snapshot(ACTION)?;
    let accounts = Accounts::read()?;
    let id = accounts.canonical_id(id)?;
    if let Some(open) = open_request(&id)? {
        return Err(ErasureError::RequestIsOpen(open));
    }
    if replays.is_none() && !has_account(&accounts, &id)? {
        pgrx::ereport!(
            PgLogLevel::WARNING,
            PgSqlErrorCode::ERRCODE_NO_DATA,
            format!("{} has no account with this id", accounts.name),
            "The request is stored all the same: other tables may hold the id."
        );
    }
    let request = builtins::new_uuid();
    let (system, database) = snapshot::identity();
    as_owner(|| {
        spi::connect_mut(|client| {
            let arguments = [
                request.into(),
                id.into(),
                reason.into(),
                system.into(),
                database.into(),
                replays.into(),
            ];
            let sql = include_str!("../../../sql/maintenance/erasure_keep_request.sql");
            client.update(sql, None, &arguments)?;
            Ok::<_, ErasureError>(())
        })
    })?;
    Ok(request)
}

/// The open request for a person, as text; `None` if there is none.
pub fn open_request(id: &str) -> Result<Option<String>, ErasureError> {
    let sql = include_str!("../../../sql/maintenance/erasure_open_request.sql");
    let open = as_owner(|| texts(View::Latest, sql, &[id.into()]))?;
    Ok(open.into_iter().next())
}

fn has_account(accounts: &Accounts, id: &str) -> Result<bool, ErasureError> {
    accounts.require_readable()?;
    let sql = format!(
        "SELECT concat(u.{key}) FROM {} AS u WHERE u.{key} = CAST($1 AS {})",
        accounts.name,
        lookup::qualified_type_name(accounts.key_type),
        key = accounts.key
    );
    Ok(!on_table(accounts.owner, || texts(View::Statement, &sql, &[id.into()]))?.is_empty())
}
