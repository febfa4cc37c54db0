//! Signals to sessions, and their records, which outlive a call that is cut short.

use crate::access::as_owner;
use crate::health::error::HealthError;
use crate::pg::fmgr::spi;
use crate::pg::xact::{interrupts, lock_wait, session};
use pgrx::prelude::*;
use std::time::{Duration, Instant};

/// A row of pg_stat_activity.
pub(super) struct Session {
    pub(super) pid: i32,
    pub(super) backend_start: TimestampWithTimeZone,
    pub(super) role: Option<String>,
    pub(super) application: Option<String>,
    pub(super) database: Option<String>,
    pub(super) state: Option<String>,
    pub(super) backend_type: Option<String>,
    pub(super) is_superuser: bool,
}

/// An action on a session. The column `action` of session_actions names it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The running statement is cancelled, and its transaction rolled back.
    Cancel,
    Terminate,
}

impl Action {
    /// The value of the column `action`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Terminate => "terminate",
        }
    }
}

/// How an action ended, as far as known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The session had ended before it was told to.
    Gone,
    /// The session has ended.
    Ended,
    /// The session was told, and is not awaited or still there.
    Told,
    /// The call was cut short before it saw whether the session ended.
    Unknown,
}

impl Outcome {
    /// The value of the column `outcome`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Ended => "ended",
            Self::Told => "told",
            Self::Unknown => "unknown",
        }
    }
}

/// The sessions of one call have this time to end, all together.
const PATIENCE: Duration = Duration::from_secs(1);
/// A longer time for many: so much for each.
const PATIENCE_PER_SESSION: Duration = Duration::from_millis(10);
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);
/// The time between two looks at the sessions.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Records the action for each session, then does it to all of them, then waits once for all.
///
/// A signal cannot be taken back, but the record of it rolls back with the transaction. So nothing
/// is signalled before the records are written, and from then on a cancel or statement_timeout only
/// ends the waiting: the call returns early, with a WARNING, and its records stay.
pub(super) fn act(action: Action, sessions: &[Session]) -> Result<Vec<Outcome>, HealthError> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let acted_at = record(action, sessions)?;
    // The server's log outlives a rollback, and the end of this session.
    pgrx::log!("{} asked to {} sessions: {:?}", session::user(), action.as_str(), pids(sessions));
    let (outcomes, is_cut_short) = interrupts::held(|| {
        let outcomes = as_owner(|| signal_and_wait(action, sessions))?;
        record_outcomes(acted_at, sessions, &outcomes)?;
        Ok::<_, HealthError>(outcomes)
    });
    let outcomes = outcomes?;
    if is_cut_short {
        let unknown = outcomes.iter().filter(|outcome| **outcome == Outcome::Unknown).count();
        pgrx::warning!(
            "cut short after all {} sessions were told to end; the outcome of {unknown} is unknown",
            sessions.len()
        );
    }
    Ok(outcomes)
}

/// Writes the records and returns their time. A session that locks their table is named after two
/// seconds.
fn record(
    action: Action,
    sessions: &[Session],
) -> Result<Option<TimestampWithTimeZone>, HealthError> {
    let asked_by = session::user();
    let texts = |column: fn(&Session) -> &Option<String>| -> Vec<Option<String>> {
        sessions.iter().map(|session| column(session).clone()).collect()
    };
    let write = || {
        as_owner(|| {
            spi::connect_mut(|client| {
                let arguments = [
                    asked_by.as_str().into(),
                    action.as_str().into(),
                    pids(sessions).into(),
                    starts(sessions).into(),
                    texts(|session| &session.role).into(),
                    texts(|session| &session.application).into(),
                    texts(|session| &session.database).into(),
                    texts(|session| &session.state).into(),
                ];
                let sql = include_str!("../../sql/health/record_session_action.sql");
                Ok::<_, HealthError>(client.update(sql, None, &arguments)?.first().get_one()?)
            })
        })
    };
    lock_wait::limited(write).map_err(|timeout| HealthError::RecordsLocked {
        milliseconds: timeout.limit,
        holder: timeout.holder,
    })?
}

fn pids(sessions: &[Session]) -> Vec<i32> {
    sessions.iter().map(|session| session.pid).collect()
}

fn starts(sessions: &[Session]) -> Vec<TimestampWithTimeZone> {
    sessions.iter().map(|session| session.backend_start).collect()
}

fn signal_and_wait(action: Action, sessions: &[Session]) -> Result<Vec<Outcome>, HealthError> {
    let sql = include_str!("../../sql/health/signal_session.sql");
    let mut outcomes = Vec::new();
    for session in sessions {
        let told = Spi::connect(|client| {
            let arguments = [
                session.pid.into(),
                session.backend_start.into(),
                (action == Action::Cancel).into(),
            ];
            Ok::<_, HealthError>(!client.select(sql, Some(1), &arguments)?.is_empty())
        })?;
        outcomes.push(if told { Outcome::Told } else { Outcome::Gone });
    }
    if action == Action::Cancel {
        return Ok(outcomes);
    }
    let patience = PATIENCE.max(
        PATIENCE_PER_SESSION.saturating_mul(u32::try_from(sessions.len()).unwrap_or(u32::MAX)),
    );
    let end = Instant::now() + patience.min(LONGEST_PATIENCE);
    loop {
        let remaining = remaining(sessions)?;
        for (i, outcome) in outcomes.iter_mut().enumerate() {
            if *outcome == Outcome::Told && !remaining.contains(&i) {
                *outcome = Outcome::Ended;
            }
        }
        if !outcomes.contains(&Outcome::Told) || Instant::now() >= end {
            break;
        }
        if interrupts::is_pending() {
            let told = outcomes.iter_mut().filter(|outcome| **outcome == Outcome::Told);
            told.for_each(|outcome| *outcome = Outcome::Unknown);
            break;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(outcomes)
}

/// The positions of the sessions that have not ended.
fn remaining(sessions: &[Session]) -> Result<Vec<usize>, HealthError> {
    session::forget_statistics();
    Spi::connect(|client| {
        let sql = include_str!("../../sql/health/remaining_sessions.sql");
        let mut remaining = Vec::new();
        for row in client.select(sql, None, &[pids(sessions).into(), starts(sessions).into()])? {
            if let Some(position) = row.get::<i32>(1)? {
                remaining.push(usize::try_from(position).unwrap_or(0).saturating_sub(1));
            }
        }
        Ok(remaining)
    })
}

fn record_outcomes(
    acted_at: Option<TimestampWithTimeZone>,
    sessions: &[Session],
    outcomes: &[Outcome],
) -> Result<(), HealthError> {
    let words: Vec<&str> = outcomes.iter().map(|outcome| outcome.as_str()).collect();
    as_owner(|| {
        spi::connect_mut(|client| {
            let sql = include_str!("../../sql/health/record_session_outcome.sql");
            client.update(sql, None, &[acted_at.into(), pids(sessions).into(), words.into()])?;
            Ok(())
        })
    })
}
