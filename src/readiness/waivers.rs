//! Waivers of criteria, and freezes of releases.

use super::evidence::{find_criterion, valid_release};
use super::in_person::require_typed;
use crate::access::as_owner;
use crate::pg::builtins;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::xact::session;
use crate::readiness::error::{
    APPROVE_EXAMPLE, FREEZE_EXAMPLE, Kind, ReadinessError, WAIVER_EXAMPLE,
};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

const REVOKE_EXAMPLE: &str =
    "SELECT crewsnow_ops.revoke_waiver('7ad0e310-c2be-4807-be7c-3ae492be0185');";
const END_EXAMPLE: &str = "SELECT crewsnow_ops.end_freeze('7ad0e310-c2be-4807-be7c-3ae492be0185');";
/// Longest validity of a waiver, in microseconds.
const MAX_VALIDITY: i64 = 30 * crate::time::minute::DAY;

/// Runs a statement as the extension's owner. Returns the first column of its first row.
/// The outer `None` means no row, the inner one NULL.
fn execute_as_owner(
    sql: &str,
    arguments: &[DatumWithOid<'_>],
) -> Result<Option<Option<String>>, ReadinessError> {
    as_owner(|| {
        spi::connect_mut(|client| {
            let rows = client.update(sql, None, arguments)?;
            if rows.is_empty() { Ok(None) } else { Ok(Some(rows.first().get(1)?)) }
        })
    })
}

fn unknown_id(kind: Kind, id: pgrx::Uuid) -> ReadinessError {
    ReadinessError::Unknown { kind, name: id.to_string(), similar: Vec::new() }
}

/// Requests a waiver. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (empty reason, expiry out of range, invalid release),
/// 42501 (not typed by the user), 42704 (unknown criterion), 25006 (read-only transaction).
#[pg_extern(schema = "crewsnow_ops", requires = ["readiness"])]
#[search_path(pg_catalog, pg_temp)]
fn waive_criterion(
    p_criterion: Option<&str>,
    p_reason: Option<&str>,
    p_expires_at: Option<TimestampWithTimeZone>,
    p_release: default!(Option<&str>, "NULL"),
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<pgrx::Uuid, ErrorReport> {
    session::require_writable("waive a criterion")?;
    require_typed(fcinfo, "waive a criterion", || WAIVER_EXAMPLE.to_owned())?;
    let null = |argument| ServerError::NullArgument { argument, example: WAIVER_EXAMPLE };
    let criterion = p_criterion.ok_or_else(|| null("p_criterion"))?;
    let reason = p_reason.ok_or_else(|| null("p_reason"))?.trim();
    let expires_at = p_expires_at.ok_or_else(|| null("p_expires_at"))?;
    let release = valid_release(p_release)?;
    if reason.is_empty() {
        let error =
            ReadinessError::NoReason { action: "waive a criterion", example: WAIVER_EXAMPLE };
        return Err(error.into());
    }
    let (now, until) = (clock::now(), expires_at.into_inner());
    if until <= now || until > now.saturating_add(MAX_VALIDITY) {
        return Err(ReadinessError::InvalidEnd.into());
    }
    let known = find_criterion(criterion, None)?;
    let id = builtins::new_uuid();
    let arguments = [
        id.into(),
        criterion.into(),
        release.into(),
        reason.into(),
        session::user().into(),
        expires_at.into(),
    ];
    execute_as_owner(include_str!("../../sql/readiness/keep_waiver.sql"), &arguments)?;
    if known.is_blocker {
        notice!(
            "criterion \"{criterion}\" is a blocker: another user must approve the waiver: \
             SELECT crewsnow_ops.approve_waiver('{id}');"
        );
    }
    Ok(id)
}

/// Approves another user's waiver. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 42501 (own waiver, or not typed by the user), 42704 (no such
/// waiver), 25006 (read-only transaction).
#[pg_extern(schema = "crewsnow_ops", requires = ["readiness"])]
#[search_path(pg_catalog, pg_temp)]
fn approve_waiver(
    p_waiver: Option<pgrx::Uuid>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<(), ErrorReport> {
    session::require_writable("approve a waiver")?;
    let id = p_waiver
        .ok_or(ServerError::NullArgument { argument: "p_waiver", example: APPROVE_EXAMPLE })?;
    require_typed(fcinfo, "approve a waiver", || {
        format!("SELECT crewsnow_ops.approve_waiver('{id}');")
    })?;
    let by = session::user();
    match execute_as_owner(
        include_str!("../../sql/readiness/approve_waiver.sql"),
        &[id.into(), by.clone().into()],
    )? {
        None => Err(unknown_id(Kind::Waiver, id).into()),
        Some(requested_by) if requested_by.as_deref() == Some(by.as_str()) => {
            Err(ReadinessError::OwnWaiver(by).into())
        }
        Some(_) => Ok(()),
    }
}

/// Revokes a waiver of any user. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 42704 (no such waiver), 25006 (read-only transaction).
#[pg_extern(schema = "crewsnow_ops", requires = ["readiness"])]
#[search_path(pg_catalog, pg_temp)]
fn revoke_waiver(p_waiver: Option<pgrx::Uuid>) -> Result<(), ErrorReport> {
    session::require_writable("revoke a waiver")?;
    let id = p_waiver
        .ok_or(ServerError::NullArgument { argument: "p_waiver", example: REVOKE_EXAMPLE })?;
    let arguments = [id.into(), session::user().into()];
    match execute_as_owner(include_str!("../../sql/readiness/revoke_waiver.sql"), &arguments)? {
        None => Err(unknown_id(Kind::Waiver, id).into()),
        Some(_) => Ok(()),
    }
}

/// Forbids releases and launches for a time. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (empty reason; times that are out of order, past or
/// infinite), 25006 (read-only transaction).
#[pg_extern(schema = "crewsnow_ops", requires = ["readiness"])]
#[search_path(pg_catalog, pg_temp)]
fn freeze_releases(
    p_reason: Option<&str>,
    p_starts_at: Option<TimestampWithTimeZone>,
    p_ends_at: Option<TimestampWithTimeZone>,
) -> Result<pgrx::Uuid, ErrorReport> {
    session::require_writable("freeze releases")?;
    let null = |argument| ServerError::NullArgument { argument, example: FREEZE_EXAMPLE };
    let reason = p_reason.ok_or_else(|| null("p_reason"))?.trim();
    let starts_at = p_starts_at.ok_or_else(|| null("p_starts_at"))?;
    let ends_at = p_ends_at.ok_or_else(|| null("p_ends_at"))?;
    if reason.is_empty() {
        let error = ReadinessError::NoReason { action: "freeze releases", example: FREEZE_EXAMPLE };
        return Err(error.into());
    }
    let is_finite =
        !starts_at.is_infinity() && !starts_at.is_neg_infinity() && !ends_at.is_infinity();
    if !is_finite || ends_at <= starts_at || ends_at.into_inner() <= clock::now() {
        return Err(ReadinessError::InvalidFreeze.into());
    }
    let id = builtins::new_uuid();
    let arguments =
        [id.into(), starts_at.into(), ends_at.into(), reason.into(), session::user().into()];
    execute_as_owner(include_str!("../../sql/readiness/keep_freeze.sql"), &arguments)?;
    Ok(id)
}

/// Ends a freeze, or cancels one that has not begun. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 42704 (no such freeze), 25006 (read-only transaction).
#[pg_extern(schema = "crewsnow_ops", requires = ["readiness"])]
#[search_path(pg_catalog, pg_temp)]
fn end_freeze(p_freeze: Option<pgrx::Uuid>) -> Result<(), ErrorReport> {
    session::require_writable("end a freeze")?;
    let id =
        p_freeze.ok_or(ServerError::NullArgument { argument: "p_freeze", example: END_EXAMPLE })?;
    match execute_as_owner(include_str!("../../sql/readiness/end_freeze.sql"), &[id.into()])? {
        None => Err(unknown_id(Kind::Freeze, id).into()),
        Some(_) => Ok(()),
    }
}
