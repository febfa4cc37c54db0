//! The worker's process: connects, serves its leader and ends.

use super::channel::{Channel, Wait};
use super::{DetachedStep, Outcome, Reply, Request, Statement, statement, warnings};
use crate::pg::backend_local::BackendLocal;
use crate::pg::clock;
use crate::pg::cstring::c_string;
use crate::pg::xact::subtransaction::Failure;
use crate::pg::xact::timeout::RepeatingTimer;
use pgrx::{PgSqlErrorCode, pg_sys};
use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU32, Ordering::Relaxed};

copied_for!("pg15" "pg16" "pg17" "pg18": "die of tcop/tcopprot.h, GetCurrentTimestamp");

/// The same numbers on each system that PostgreSQL runs on.
const SIGINT: c_int = 2;
const SIGTERM: c_int = 15;

// pgrx wraps the server's functions: then they are no signal handlers, and not for use in one.
unsafe extern "C-unwind" {
    fn die(signal: c_int);
    fn GetCurrentTimestamp() -> i64;
    fn getpid() -> c_int;
    fn kill(process: c_int, signal: c_int) -> c_int;
}

/// Writes down progress, in the worker. The outcome is that of a detached step.
pub type Recorder = fn(record: &str, outcome: Option<&Outcome>);

static RECORDER: BackendLocal<Option<Recorder>> = BackendLocal::new(None);

/// Sets the recorder of this process, should it become a worker.
pub fn set_recorder(recorder: Recorder) {
    RECORDER.with(|place| *place = Some(recorder));
}

/// Settings of every statement, beside its own.
const SETTINGS: [(&str, &str); 8] = [
    ("application_name", "crewsnow_ops maintenance"),
    ("search_path", "pg_catalog, pg_temp"),
    ("client_min_messages", "warning"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
    ("lock_timeout", "2s"),
    // A worker waits for no standby. `off` would keep VACUUM from seeing the latest rows as
    // committed, because their hint bits must wait for the log.
    ("synchronous_commit", "local"),
    ("jit", "off"),
];

/// How often a running statement looks at its deadline and its leader, in milliseconds.
const TICK: i32 = 100;

static TIMER: RepeatingTimer = RepeatingTimer::new(watch);
/// The leader's wish, in shared memory; NULL without a leader.
static STOP: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());
/// The running statement's deadline, in microseconds since 2000.
static DEADLINE: AtomicI64 = AtomicI64::new(i64::MAX);
/// Whether the running statement has passed its deadline.
static IS_EXPIRED: AtomicBool = AtomicBool::new(false);

/// A function of an index or a view may catch a cancel. So long after the deadline the process
/// ends, in microseconds.
const LATEST: i64 = 10_000_000;

/// Cancels the running statement at its deadline, and when the leader wants the worker to end. Runs
/// in a signal handler.
unsafe extern "C-unwind" fn watch() {
    // SAFETY: these may be called in a signal handler.
    unsafe {
        let late = GetCurrentTimestamp().saturating_sub(DEADLINE.load(Relaxed));
        if late >= 0 {
            IS_EXPIRED.store(true, Relaxed);
        } else if !is_to_stop() {
            return;
        }
        kill(getpid(), if late > LATEST { SIGTERM } else { SIGINT });
    }
}

/// When a worker without a leader was told to end, in microseconds since 2000; 0 if it was not.
static ENDING_SINCE: AtomicI64 = AtomicI64::new(0);

/// The postmaster sends each signal to the process and to its group, so it may arrive twice. Within
/// so many microseconds a second SIGTERM is such a copy.
const COPY: i64 = 500_000;

/// SIGTERM of a worker without a leader: cancels the statement, whose remains are then removed. A
/// later signal ends the process at once. Runs in a signal handler.
unsafe extern "C-unwind" fn end_gently(signal: c_int) {
    // SAFETY: these may be called in a signal handler.
    unsafe {
        let now = GetCurrentTimestamp();
        match ENDING_SINCE.load(Relaxed) {
            0 => {
                ENDING_SINCE.store(now, Relaxed);
                kill(getpid(), SIGINT);
            }
            since if (0..COPY).contains(&(now - since)) => {}
            _ => die(signal),
        }
    }
}

fn is_ending() -> bool {
    ENDING_SINCE.load(Relaxed) != 0
}

/// Sets the handler of SIGTERM.
fn on_termination(handler: unsafe extern "C-unwind" fn(c_int)) {
    // SAFETY: the handlers only do what a signal handler may do.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(SIGTERM, Some(handler));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(SIGTERM, Some(handler));
    }
}

fn is_to_stop() -> bool {
    // SAFETY: NULL, or in shared memory that stays mapped while the pointer is set.
    unsafe { STOP.load(Relaxed).as_ref() }.is_some_and(|stop| stop.load(Relaxed) != 0)
}

/// The worker's main function. The server calls it in a new process.
///
/// # Safety
/// Only the postmaster may call it, with the handle of a segment.
#[unsafe(no_mangle)]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn crewsnow_ops_worker_main(segment: pg_sys::Datum) {
    // The server's own handler ends the process at the next safe point.
    on_termination(die);
    // SAFETY: the handler is set.
    unsafe { pg_sys::BackgroundWorkerUnblockSignals() };
    let Some(channel) = Channel::attach(segment.value() as pg_sys::dsm_handle) else { return };
    warnings::start();
    connect(&channel);
    STOP.store((&raw const channel.control().stop).cast_mut(), Relaxed);
    if channel.send(&Reply::Ready).is_err() {
        return;
    }
    let mut detached = Vec::new();
    while let Ok(Some(request)) = channel.receive(&Wait::Forever) {
        let outcome = match request {
            Request::Run(statement) => run(&statement),
            Request::Record(text) => record(&text, None),
            Request::Detach(steps) => {
                detached = steps;
                Outcome::Done(Vec::new())
            }
        };
        let is_received = channel.send(&Reply::Ended(outcome)).is_ok();
        if !is_received || !detached.is_empty() || is_to_stop() {
            break;
        }
    }
    if !detached.is_empty() {
        STOP.store(null_mut(), Relaxed);
        channel.detach();
        on_termination(end_gently);
        detached.iter().take_while(|_| !is_ending()).for_each(run_detached);
    }
}

/// Connects to the leader's database, as the leader's role.
///
/// A role that may not log in is taken on as SET ROLE would. Statements run user code only as the
/// owner of a table in a restricted context, which cannot leave the role.
fn connect(channel: &Channel) {
    let control = channel.control();
    // SAFETY: the leader has taken the oids from its own session.
    unsafe {
        pg_sys::BackgroundWorkerInitializeConnectionByOid(control.database, control.login, 0);
    }
    let role = control.role;
    let adopted = statement::in_transaction(|| {
        // SAFETY: looks up the role and sets backend-local variables.
        unsafe {
            if pg_sys::GetUserId() != role {
                pg_sys::SetCurrentRoleId(role, pg_sys::superuser_arg(role));
            }
        }
        SETTINGS.iter().for_each(|(name, value)| set(name, Some(value)));
    });
    if let Err(failure) = adopted {
        failure.raise();
    }
}

/// Sets a setting as the role may, or gives it back its first value.
fn set(name: &str, value: Option<&str>) {
    let name = c_string(name);
    let value = value.map(c_string);
    // SAFETY: NUL-terminated texts, which the server copies; NULL is the reset value.
    unsafe {
        let context = if pg_sys::superuser() {
            pg_sys::GucContext::PGC_SUSET
        } else {
            pg_sys::GucContext::PGC_USERSET
        };
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ref().map_or(std::ptr::null(), |value| value.as_ptr()),
            context,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SET,
            true,
            0,
            false,
        );
    }
}

fn failed(failure: &Failure) -> Outcome {
    Outcome::Failed { sqlstate: failure.state(), message: failure.redacted_message() }
}

/// Runs a statement with its settings and its deadline. Its settings are given back afterwards.
fn run(statement: &Statement) -> Outcome {
    let deadline = statement.deadline.unwrap_or(i64::MAX);
    if clock::now() >= deadline {
        return Outcome::TimedOut;
    }
    let set_all = || statement.settings.iter().for_each(|(name, value)| set(name, Some(value)));
    let result = statement::in_transaction(set_all)
        .and_then(|()| timed(&statement.sql, deadline, statement.is_own));
    let base = |name: &str| SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, v)| *v);
    let reset = || statement.settings.iter().for_each(|(name, _)| set(name, base(name)));
    let reset = statement::in_transaction(reset);
    match result.and(reset) {
        Ok(()) => Outcome::Done(warnings::take()),
        Err(failure)
            if IS_EXPIRED.load(Relaxed)
                && failure.code == PgSqlErrorCode::ERRCODE_QUERY_CANCELED =>
        {
            Outcome::TimedOut
        }
        Err(failure) => failed(&failure),
    }
}

fn timed(sql: &str, deadline: i64, is_own: bool) -> Result<(), Failure> {
    IS_EXPIRED.store(false, Relaxed);
    DEADLINE.store(deadline, Relaxed);
    warnings::take();
    warnings::trust(is_own);
    TIMER.start(TICK);
    let result = statement::run(sql);
    TIMER.stop();
    // The deadline may have passed just as the statement ended.
    // SAFETY: a flag of this process.
    unsafe { pg_sys::QueryCancelPending = 0 };
    result
}

/// Passes a text to the recorder, in a transaction of its own.
fn record(text: &str, outcome: Option<&Outcome>) -> Outcome {
    let Some(recorder) = RECORDER.with(|recorder| *recorder).flatten() else {
        return Outcome::Done(Vec::new());
    };
    let work = || {
        // SAFETY: a transaction is open. Queries of the recorder need a snapshot.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
        recorder(text, outcome);
        // SAFETY: removes the snapshot.
        unsafe { pg_sys::PopActiveSnapshot() };
    };
    match statement::in_transaction(work) {
        Ok(()) => Outcome::Done(Vec::new()),
        Err(failure) => failed(&failure),
    }
}

fn run_detached(step: &DetachedStep) {
    let outcome = run(&step.statement);
    if !matches!(outcome, Outcome::Done(_)) {
        step.cleanup.iter().for_each(|statement| {
            run(statement);
        });
    }
    record(&step.record, Some(&outcome));
}
