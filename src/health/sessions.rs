//! The functions that cancel statements and end sessions: exactly those that the operator named.

use super::session_actions::{Action, Outcome, Session, act};
use crate::access::as_owner;
use crate::health::error::HealthError;
use crate::pg::error::ServerError;
use crate::pg::xact::session;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Finds sessions with the extension owner's privileges. The caller's role still decides which of
/// them the caller may end.
fn find_sessions(
    sql: &str,
    arguments: &[pgrx::datum::DatumWithOid<'_>],
) -> Result<Vec<Session>, HealthError> {
    session::forget_statistics();
    as_owner(|| {
        Spi::connect(|client| {
            let mut sessions = Vec::new();
            for row in client.select(sql, None, arguments)? {
                let (Some(pid), Some(backend_start)) = (row.get(1)?, row.get(2)?) else { continue };
                sessions.push(Session {
                    pid,
                    backend_start,
                    role: row.get(3)?,
                    application: row.get(4)?,
                    database: row.get(5)?,
                    state: row.get(6)?,
                    backend_type: row.get(7)?,
                    is_superuser: row.get(8)?.unwrap_or(false),
                });
            }
            Ok(sessions)
        })
    })
}

/// Refuses backends that are not of clients, and sessions of superusers for any other role.
fn require_terminable(session: &Session, action: Action) -> Result<(), HealthError> {
    if session.backend_type.as_deref() != Some("client backend") {
        return Err(HealthError::NotAClientBackend {
            pid: session.pid,
            backend_type: session.backend_type.clone().unwrap_or_default(),
        });
    }
    if session.is_superuser && !session::is_superuser() {
        return Err(HealthError::SuperuserSession {
            pid: session.pid,
            role: session.role.clone().unwrap_or_default(),
            function: match action {
                Action::Cancel => "cancel_session",
                Action::Terminate => "terminate_session",
            },
            backend_start: session.backend_start.to_string(),
        });
    }
    Ok(())
}

/// The session that the caller named, if the caller may act on it; `None` with a NOTICE if it is
/// gone.
fn named_session(
    pid: Option<i32>,
    backend_start: Option<TimestampWithTimeZone>,
    action: Action,
) -> Result<Option<Session>, ErrorReport> {
    const EXAMPLE: &str = "SELECT pid, backend_start, usename, state FROM pg_stat_activity;";
    let null = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let pid = pid.ok_or_else(|| null("p_pid"))?;
    let backend_start = backend_start.ok_or_else(|| null("p_backend_start"))?;
    session::require_writable(match action {
        Action::Cancel => "cancel a statement",
        Action::Terminate => "end a session",
    })?;
    if pid == session::own_pid() {
        return Err(HealthError::OwnSession(pid).into());
    }
    let found = find_sessions(include_str!("../../sql/health/find_session.sql"), &[pid.into()])?;
    let Some(session) = found.into_iter().next() else {
        pgrx::notice!("there is no session {pid} any more");
        return Ok(None);
    };
    if session.backend_start != backend_start {
        return Err(HealthError::OtherSession {
            pid,
            actual: session.backend_start.to_string(),
            given: backend_start.to_string(),
        }
        .into());
    }
    require_terminable(&session, action)?;
    Ok(Some(session))
}

/// See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (own session, or not a client backend), 42501 (session of
/// a superuser), 55000 (another session has the pid), 55P03 (the records are locked), 25006
/// (read-only transaction or standby).
#[pg_extern(schema = "crewsnow_ops", requires = ["health"])]
#[search_path(pg_catalog, pg_temp)]
fn terminate_session(
    p_pid: Option<i32>,
    p_backend_start: Option<TimestampWithTimeZone>,
) -> Result<bool, ErrorReport> {
    let Some(session) = named_session(p_pid, p_backend_start, Action::Terminate)? else {
        return Ok(false);
    };
    Ok(act(Action::Terminate, &[session])?.iter().any(|outcome| *outcome != Outcome::Gone))
}

/// See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (own session, or not a client backend), 42501 (session of
/// a superuser), 55000 (another session has the pid), 55P03 (the records are locked), 25006
/// (read-only transaction or standby).
#[pg_extern(schema = "crewsnow_ops", requires = ["health"])]
#[search_path(pg_catalog, pg_temp)]
fn cancel_session(
    p_pid: Option<i32>,
    p_backend_start: Option<TimestampWithTimeZone>,
) -> Result<bool, ErrorReport> {
    let Some(session) = named_session(p_pid, p_backend_start, Action::Cancel)? else {
        return Ok(false);
    };
    if session.state.as_deref().is_some_and(|state| state.starts_with("idle")) {
        pgrx::notice!("session {} runs no statement: nothing was cancelled", session.pid);
        return Ok(false);
    }
    Ok(act(Action::Cancel, &[session])?.iter().any(|outcome| *outcome != Outcome::Gone))
}

/// See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (a switch is NULL), 22023 (no filter, or an age that is not positive), 42501 (the
/// caller includes superusers but is not one), 55P03 (the records are locked), 25006 (read-only
/// transaction or standby).
#[pg_extern(schema = "crewsnow_ops", requires = ["health"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn disconnect_sessions(
    p_role: default!(Option<&str>, "NULL"),
    p_application: default!(Option<&str>, "NULL"),
    p_database: default!(Option<&str>, "NULL"),
    p_older_than: default!(Option<Interval>, "NULL"),
    p_dry_run: default!(Option<bool>, "true"),
    p_include_superusers: default!(Option<bool>, "false"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(pid, i32),
            name!(role_name, Option<String>),
            name!(application_name, Option<String>),
            name!(database, Option<String>),
            name!(state, Option<String>),
            name!(connected_since, TimestampWithTimeZone),
            name!(action, &'static str),
        ),
    >,
    ErrorReport,
> {
    if p_role.is_none() && p_application.is_none() && p_database.is_none() && p_older_than.is_none()
    {
        return Err(HealthError::NoFilter.into());
    }
    if p_older_than.as_ref().is_some_and(|age| age.as_micros() <= 0) {
        return Err(HealthError::InvalidAge.into());
    }
    const EXAMPLE: &str =
        "SELECT * FROM crewsnow_ops.disconnect_sessions(p_role => 'worker', p_dry_run => true);";
    let null = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let p_dry_run = p_dry_run.ok_or_else(|| null("p_dry_run"))?;
    let p_include_superusers = p_include_superusers.ok_or_else(|| null("p_include_superusers"))?;
    if p_include_superusers && !session::is_superuser() {
        return Err(HealthError::SuperuserSessions.into());
    }
    if !p_dry_run {
        session::require_writable("end sessions")?;
    }
    let arguments = [
        p_role.into(),
        p_application.into(),
        p_database.into(),
        p_older_than.into(),
        p_include_superusers.into(),
    ];
    let sessions = find_sessions(include_str!("../../sql/health/find_sessions.sql"), &arguments)?;
    let actions: Vec<&'static str> = if p_dry_run {
        vec!["would be disconnected"; sessions.len()]
    } else {
        let action = |outcome| match outcome {
            Outcome::Ended => "disconnected",
            Outcome::Told => "told to end, still there",
            Outcome::Unknown => "told to end, outcome unknown",
            Outcome::Gone => "already gone",
        };
        act(Action::Terminate, &sessions)?.into_iter().map(action).collect()
    };
    let row = |(session, action): (Session, &'static str)| {
        (
            session.pid,
            session.role,
            session.application,
            session.database,
            session.state,
            session.backend_start,
            action,
        )
    };
    let rows: Vec<_> = sessions.into_iter().zip(actions).map(row).collect();
    Ok(TableIterator::new(rows))
}
