//! Registers and removes end-to-end tests.

use super::evidence::{find_criterion, valid_object};
use crate::access::as_owner;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::error::ServerError;
use crate::pg::fmgr::raw_arg::Jsonb;
use crate::pg::fmgr::spi;
use crate::pg::xact::{sec_context, session};
use crate::readiness::error::{Kind, ReadinessError, TEST_EXAMPLE};
use crate::settings;
use crate::suggest::similar;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Longest time limit of a test, in microseconds.
const MAX_TIME_LIMIT: i64 = 600_000_000;

/// Longest name of a test, in bytes.
const MAX_NAME: usize = 200;

/// Registers a test, or changes its registration. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (invalid time limit or claims, too long a name, criterion
/// without the measure `tests`), 42501 (not a member of the role), 42704 (unknown criterion or
/// role), 42809 (a function that cannot be a test), 25006 (read-only transaction).
#[pg_extern(sql = false)]
fn register_e2e_test(
    p_name: Option<&str>,
    p_function: Option<pg_sys::Oid>,
    p_role: Option<&str>,
    p_claims: Option<Jsonb>,
    p_criterion: Option<&str>,
    p_time_limit: Option<Interval>,
) -> Result<(), ErrorReport> {
    session::require_writable("register a test")?;
    let null = |argument| ServerError::NullArgument { argument, example: TEST_EXAMPLE };
    let name =
        p_name.map(str::trim).filter(|name| !name.is_empty()).ok_or_else(|| null("p_name"))?;
    if name.len() > MAX_NAME {
        let (argument, limit) = ("p_name", MAX_NAME);
        return Err(ServerError::TooLong { argument, limit, length: name.len() }.into());
    }
    let function = p_function.ok_or_else(|| null("p_function"))?;
    let criterion = p_criterion.ok_or_else(|| null("p_criterion"))?;
    let time_limit = p_time_limit.ok_or_else(|| null("p_time_limit"))?;
    let claims = valid_object("p_claims", p_claims.ok_or_else(|| null("p_claims"))?)?;
    if !(1_000..=MAX_TIME_LIMIT).contains(&(time_limit.as_micros() as i64)) {
        return Err(ReadinessError::InvalidTimeLimit.into());
    }
    if !find_criterion(criterion, None)?.runs_tests {
        return Err(ReadinessError::RunsNoTests(criterion.to_owned()).into());
    }
    let role = p_role.map_or_else(settings::user_role, str::to_owned);
    let oid = lookup::role(&role).ok_or_else(|| ServerError::UnknownRole(role.clone()))?;
    let by = session::user();
    let (function, owner) = test_function(function)?;
    for who in [lookup::role(&by).unwrap_or(pg_sys::InvalidOid), owner] {
        if !privilege::can_act_as(who, oid) {
            return Err(
                ReadinessError::NotAMember { who: sec_context::role_name(who), role }.into()
            );
        }
    }
    as_owner(|| {
        spi::connect_mut(|client| {
            let arguments = [
                name.into(),
                criterion.into(),
                function.into(),
                role.into(),
                claims.into(),
                time_limit.into(),
                by.into(),
            ];
            client.update(include_str!("../../sql/readiness/keep_test.sql"), None, &arguments)?;
            Ok::<_, ReadinessError>(())
        })
    })?;
    Ok(())
}

/// The qualified name and the owner of a function. Errors: 42809 if it cannot be a test.
fn test_function(function: pg_sys::Oid) -> Result<(String, pg_sys::Oid), ReadinessError> {
    Spi::connect(|client| {
        let rows = client.select(
            include_str!("../../sql/readiness/function.sql"),
            Some(1),
            &[function.into()],
        )?;
        if rows.is_empty() {
            let function = format!("function {}", function.to_u32());
            return Err(ReadinessError::NotATest { function, reason: "it does not exist" });
        }
        let row = rows.first();
        let name: String = row.get(1)?.unwrap_or_default();
        let reason = match row.get::<String>(3)?.as_deref() {
            None => return Ok((name, row.get(2)?.unwrap_or(pg_sys::InvalidOid))),
            Some("it has arguments") => "it has arguments",
            Some("it is not a plain function") => "it is not a plain function",
            Some(_) => "its return type is not supported",
        };
        Err(ReadinessError::NotATest { function: name, reason })
    })
}

/// Removes a test. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 42704 (no such test), 25006 (read-only transaction).
#[pg_extern(schema = "crewsnow_ops", requires = ["readiness"])]
#[search_path(pg_catalog, pg_temp)]
fn remove_e2e_test(p_name: Option<&str>) -> Result<(), ErrorReport> {
    const EXAMPLE: &str = "SELECT crewsnow_ops.remove_e2e_test('first evening');";
    session::require_writable("remove a test")?;
    let name = p_name.ok_or(ServerError::NullArgument { argument: "p_name", example: EXAMPLE })?;
    let was_removed = as_owner(|| {
        spi::connect_mut(|client| {
            let sql = include_str!("../../sql/readiness/remove_test.sql");
            Ok::<_, ReadinessError>(!client.update(sql, None, &[name.into()])?.is_empty())
        })
    })?;
    if was_removed { Ok(()) } else { Err(unknown_test(name)?.into()) }
}

/// The error 42704 for a missing test, with the closest names.
pub(super) fn unknown_test(name: &str) -> Result<ReadinessError, ReadinessError> {
    let names = as_owner(|| {
        Spi::connect(|client| {
            let rows =
                client.select(include_str!("../../sql/readiness/test_names.sql"), None, &[])?;
            rows.map(|row| Ok(row.get::<String>(1)?.unwrap_or_default()))
                .collect::<Result<Vec<_>, ReadinessError>>()
        })
    })?;
    let similar = similar(name, names.iter().map(String::as_str));
    Ok(ReadinessError::Unknown { kind: Kind::Test, name: name.to_owned(), similar })
}
