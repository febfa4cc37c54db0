//! The clocks that start maintenance: pg_cron, or lines for cron and systemd.

pub mod error;
mod jobs;

use crate::access::as_owner;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::pg::xact::run_lock::{Work, try_lock};
use crate::pg::xact::{sec_context, session};
use error::ScheduleError;
use jobs::{Connection, JOBS, Job, job_name};
use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;

/// The clock that this database has.
enum Clock {
    /// pg_cron is in this database.
    Here,
    /// pg_cron runs, and its jobs are in the named database.
    Elsewhere(String),
    /// pg_cron does not run.
    None,
}

/// A row: job, schedule, outcome, line.
type Row = [Option<pg_sys::Datum>; 4];

fn row(job: &str, schedule: &str, outcome: String, line: String) -> Row {
    [job.into_datum(), schedule.into_datum(), outcome.into_datum(), line.into_datum()]
}

/// Schedules maintenance. See the COMMENT on the SQL function.
///
/// SQLSTATE 25006 (standby, read-only), 42501 (pg_cron), 42710 (another role's schedule), 55006
/// (two calls at once), 22023.
#[pg_extern(sql = false)]
fn schedule_maintenance() -> Result<MaterializedRows<4>, ErrorReport> {
    let rows = match clock()? {
        Clock::Here => {
            session::require_writable("schedule maintenance")?;
            lock_schedule()?;
            schedule_here()?
        }
        Clock::Elsewhere(home) => lines_for(&home)?,
        Clock::None => lines()?,
    };
    Ok(MaterializedRows(rows))
}

/// Removes the schedule. See the COMMENT on the SQL function.
///
/// SQLSTATE 25006 (standby, read-only), 42501 (pg_cron), 55006 (two calls at once).
#[pg_extern(sql = false)]
fn unschedule_maintenance() -> Result<MaterializedRows<4>, ErrorReport> {
    let rows = match clock()? {
        Clock::Here => {
            session::require_writable("unschedule maintenance")?;
            lock_schedule()?;
            unschedule_here()?
        }
        Clock::Elsewhere(home) => {
            let database = session::database();
            let name = |job: &Job| quote_literal(job_name(job, &database));
            let line = |job: &Job| format!("SELECT cron.unschedule({});", name(job));
            let to_do = |job: &Job| row(job.name, job.schedule, in_database(&home), line(job));
            installed()?
                .iter()
                .filter(|(job, _)| !job.is_of_pg_cron)
                .map(|(job, _)| to_do(job))
                .collect()
        }
        Clock::None => {
            let database = session::database();
            let removal = |job: &Job| {
                let line = jobs::systemd_removal(job, &database);
                row(job.name, job.calendar, "for systemd".to_owned(), line)
            };
            installed()?.iter().map(|(job, _)| removal(job)).collect()
        }
    };
    Ok(MaterializedRows(rows))
}

/// Two sessions that schedule at once would not see each other's jobs.
fn lock_schedule() -> Result<(), ScheduleError> {
    try_lock(Work::Schedule)
        .map_err(|holder| ScheduleError::ChangesNow(holder.map(|holder| holder.pid)))
}

fn in_database(home: &str) -> String {
    format!("run the line in database {home}")
}

/// Reads pg_cron's settings as the owner: they are hidden from most roles.
fn clock() -> Result<Clock, ScheduleError> {
    let (home, is_here) = as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../../sql/maintenance/cron_home.sql");
            let row = client.select(sql, None, &[])?.first();
            Ok::<_, ScheduleError>((row.get::<String>(1)?, row.get::<bool>(2)?.unwrap_or(false)))
        })
    })?;
    Ok(match home {
        Some(_) if is_here => Clock::Here,
        Some(home) => Clock::Elsewhere(home),
        None => Clock::None,
    })
}

/// The jobs whose function exists, each with its statement.
fn installed() -> Result<Vec<(&'static Job, String)>, ScheduleError> {
    let mut installed = Vec::new();
    for job in &JOBS {
        let function = in_target_schema(job.function)?;
        let exists = Spi::connect(|client| {
            let sql = include_str!("../../../sql/maintenance/function_exists.sql");
            client.select(sql, None, &[function.into()])?.first().get_one::<bool>()
        })?;
        if exists == Some(true) {
            installed.push((job, in_target_schema(job.command)?));
        }
    }
    Ok(installed)
}

/// Registers the jobs as the caller, whose privileges they run with.
fn schedule_here() -> Result<Vec<Row>, ScheduleError> {
    let (role, database) = (sec_context::current_user(), session::database());
    require_cron(&role)?;
    let others = recorded(include_str!("../../../sql/maintenance/schedules_of_others.sql"), &role)?;
    if let Some(other) = others.into_iter().next() {
        return Err(ScheduleError::ScheduledByOther(other));
    }
    let mut rows = Vec::new();
    for (job, command) in installed()? {
        let name = job_name(job, &database);
        let (id, outcome) = spi::connect_mut(|client| {
            let arguments = [name.as_str().into(), job.schedule.into(), command.as_str().into()];
            let sql = include_str!("../../../sql/maintenance/cron_job_state.sql");
            let before = client.select(sql, None, &arguments)?.first().get_one::<String>();
            let sql = include_str!("../../../sql/maintenance/schedule_cron_job.sql");
            let id = client.update(sql, None, &arguments)?.first().get_one::<i64>()?;
            Ok::<_, ScheduleError>((id, before.ok().flatten()))
        })?;
        let outcome = outcome.unwrap_or_else(|| "scheduled".to_owned());
        as_owner(|| {
            spi::connect_mut(|client| {
                let arguments = [
                    name.as_str().into(),
                    id.into(),
                    job.schedule.into(),
                    command.as_str().into(),
                    role.as_str().into(),
                ];
                let sql = include_str!("../../../sql/maintenance/record_scheduled_job.sql");
                client.update(sql, None, &arguments)?;
                Ok::<_, ScheduleError>(())
            })
        })?;
        rows.push(row(job.name, job.schedule, outcome, command));
    }
    Ok(rows)
}

fn unschedule_here() -> Result<Vec<Row>, ScheduleError> {
    let (role, database) = (sec_context::current_user(), session::database());
    require_cron(&role)?;
    let mut rows = Vec::new();
    for job in &JOBS {
        let name = job_name(job, &database);
        let removed = spi::connect_mut(|client| {
            let sql = include_str!("../../../sql/maintenance/unschedule_cron_job.sql");
            Ok::<_, ScheduleError>(!client.update(sql, None, &[name.as_str().into()])?.is_empty())
        })?;
        recorded(include_str!("../../../sql/maintenance/forget_scheduled_job.sql"), &name)?;
        if removed {
            let line = "SELECT * FROM crewsnow_ops.schedule_maintenance();".to_owned();
            rows.push(row(job.name, job.schedule, "removed".to_owned(), line));
        }
    }
    for other in recorded(include_str!("../../../sql/maintenance/schedules_of_others.sql"), &role)?
    {
        let hint = crate::error::SqlError::hint(&ScheduleError::ScheduledByOther(other.clone()));
        rows.push(row("all", "", format!("left: jobs of role {other}"), hint.unwrap_or_default()));
    }
    Ok(rows)
}

/// Runs a statement on crewsnow_ops.scheduled_jobs as the owner. Returns its first column.
fn recorded(sql: &str, argument: &str) -> Result<Vec<String>, ScheduleError> {
    as_owner(|| {
        spi::connect_mut(|client| {
            let rows = client.update(sql, None, &[argument.into()])?;
            Ok(rows.filter_map(|row| row.get::<String>(1).ok().flatten()).collect())
        })
    })
}

/// pg_cron grants nothing to PUBLIC. The server's own error would not say which privilege helps.
fn require_cron(role: &str) -> Result<(), ScheduleError> {
    let may_use = Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/may_use_cron.sql");
        client.select(sql, None, &[])?.first().get_one::<bool>()
    })?;
    match may_use {
        Some(true) => Ok(()),
        _ => Err(ScheduleError::MayNotUseCron(role.to_owned())),
    }
}

/// Statements that schedule the jobs of this database in the database of pg_cron.
fn lines_for(home: &str) -> Result<Vec<Row>, ScheduleError> {
    let database = session::database();
    let jobs = installed()?;
    let line = |job: &Job, command: &str| {
        let texts = [&job_name(job, &database), job.schedule, command, &database];
        let texts = texts.map(quote_literal).join(", ");
        format!("SELECT cron.schedule_in_database({texts});")
    };
    let to_do = |(job, command): &(&Job, String)| {
        row(job.name, job.schedule, in_database(home), line(job, command))
    };
    Ok(jobs.iter().filter(|(job, _)| !job.is_of_pg_cron).map(to_do).collect())
}

/// Lines for cron, then for systemd. One of them is enough.
fn lines() -> Result<Vec<Row>, ScheduleError> {
    let connection = Connection {
        port: Spi::connect(|client| {
            let sql = include_str!("../../../sql/maintenance/port.sql");
            client.select(sql, None, &[])?.first().get_one::<String>()
        })?
        .unwrap_or_default(),
        role: sec_context::current_user(),
        database: session::database(),
    };
    if !connection.is_printable() {
        return Err(ScheduleError::UnprintableName);
    }
    let jobs = installed()?;
    let mut rows = Vec::new();
    for (job, command) in &jobs {
        let line = jobs::crontab_line(job, &connection, command);
        rows.push(row(job.name, job.schedule, "line for crontab".to_owned(), line));
    }
    for (job, command) in &jobs {
        let line = jobs::systemd_line(job, &connection, command);
        rows.push(row(job.name, job.calendar, "line for systemd".to_owned(), line));
    }
    Ok(rows)
}
