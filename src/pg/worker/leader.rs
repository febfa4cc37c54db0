//! The leader's side: starts a worker, gives it statements and ends it.

use super::channel::{Channel, Wait, wait_for_latch};
use super::{DetachedStep, Outcome, Reply, Request, Statement};
use crate::pg::catalog::privilege;
use crate::pg::xact::interrupts;
use pgrx::pg_sys;
use std::ffi::{CStr, c_char};
use std::time::{Duration, Instant};

/// How long a start waits for a free slot, and then for the worker.
const START: Duration = Duration::from_secs(10);
/// How long a worker may take to end by itself, before it gets SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How long a worker may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(10);
/// `backend_type` of the worker in pg_stat_activity.
const TYPE: &CStr = c"crewsnow_ops worker";

/// A worker that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// No role of this session may log in to the database.
    #[error("the worker cannot connect: role \"{0}\" may not log in, or not to this database")]
    MayNotConnect(String),
    /// The process ended, or never answered.
    #[error("the worker ended before it answered; the server's log has the reason")]
    Lost,
}

/// A running worker. Dropped, it ends, and the drop waits for that.
pub struct Worker {
    channel: Channel,
    worker: *mut pg_sys::BackgroundWorkerHandle,
    is_detached: bool,
    pid: i32,
}

impl Worker {
    /// Starts a worker with the database and the role of this session. `name` appears in the
    /// server's log. `None` if no slot becomes free within 10 s.
    pub fn start(name: &str) -> Result<Option<Self>, WorkerError> {
        let role = crate::pg::xact::sec_context::current_role();
        let login = privilege::login_role().ok_or_else(|| {
            WorkerError::MayNotConnect(crate::pg::xact::sec_context::role_name(role))
        })?;
        let _context = TransactionContext::enter();
        let Some(channel) = Channel::create(login, role) else { return Ok(None) };
        let Some(worker) = register(name, &channel) else {
            channel.detach();
            return Ok(None);
        };
        // SAFETY: the handle is allocated for this transaction, as the channel is.
        unsafe {
            channel.set_worker(worker);
            // Errors and the end of this session release the shared memory, and thereby end the
            // worker, even where no Rust code runs any more.
            let argument = pg_sys::Datum::from(worker);
            pg_sys::on_dsm_detach(channel.segment(), Some(terminate), argument);
        }
        let mut started = Self { channel, worker, is_detached: false, pid: 0 };
        let wait = Wait::AtMost(START.as_millis() as i64);
        match started.channel.receive(&wait) {
            Ok(Some(Reply::Ready)) => {
                started.pid = started.status().1;
                Ok(Some(started))
            }
            _ => Err(WorkerError::Lost),
        }
    }

    /// The worker's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Runs a statement at top level and waits for its end. Interrupts end the wait, and then the
    /// worker.
    pub fn run(&self, statement: &Statement) -> Result<Outcome, WorkerError> {
        self.ask(&Request::Run(statement.clone()))
    }

    /// Passes a text to the recorder of [`super::set_recorder`], which the worker runs in a
    /// transaction of its own.
    pub fn record(&self, text: String) -> Result<Outcome, WorkerError> {
        self.ask(&Request::Record(text))
    }

    /// Leaves the worker alone with these steps. It goes on when this session ends, and ends by
    /// itself. Returns its process id.
    pub fn detach(mut self, steps: Vec<DetachedStep>) -> Result<i32, WorkerError> {
        self.ask(&Request::Detach(steps))?;
        // SAFETY: the callback was registered with this argument.
        unsafe {
            let argument = pg_sys::Datum::from(self.worker);
            pg_sys::cancel_on_dsm_detach(self.channel.segment(), Some(terminate), argument);
        }
        self.is_detached = true;
        Ok(self.pid)
    }

    fn ask(&self, request: &Request) -> Result<Outcome, WorkerError> {
        self.channel.send(request).map_err(|_| WorkerError::Lost)?;
        match self.channel.receive(&Wait::Forever) {
            Ok(Some(Reply::Ended(outcome))) => Ok(outcome),
            _ => Err(WorkerError::Lost),
        }
    }

    /// The worker's state, and its process id if it runs.
    fn status(&self) -> (pg_sys::BgwHandleStatus::Type, i32) {
        let mut pid = 0;
        // SAFETY: the handle is valid as long as the worker.
        let status = unsafe { pg_sys::GetBackgroundWorkerPid(self.worker, &mut pid) };
        (status, pid)
    }

    fn has_ended_within(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            let (status, _) = self.status();
            if status == pg_sys::BgwHandleStatus::BGWH_STOPPED
                || status == pg_sys::BgwHandleStatus::BGWH_POSTMASTER_DIED
            {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // An error is unwinding the stack, perhaps. Another one now would abort the process.
        interrupts::postponed(|| {
            if !self.is_detached {
                self.channel.stop();
                if !self.has_ended_within(GRACE) {
                    // SAFETY: the handle is valid as long as the worker.
                    unsafe { pg_sys::TerminateBackgroundWorker(self.worker) };
                    self.has_ended_within(PATIENCE);
                }
            }
            self.channel.detach();
        });
    }
}

/// Called when the leader lets go of the shared memory.
unsafe extern "C-unwind" fn terminate(_segment: *mut pg_sys::dsm_segment, worker: pg_sys::Datum) {
    // SAFETY: the handle lives until the transaction's memory is freed, which comes later. The
    // server ignores the handle of a worker that has ended.
    unsafe { pg_sys::TerminateBackgroundWorker(worker.cast_mut_ptr()) };
}

/// Allocations of the server last until the end of the transaction, while this exists.
struct TransactionContext(pg_sys::MemoryContext);

impl TransactionContext {
    fn enter() -> Self {
        // SAFETY: a transaction is running.
        Self(unsafe { pg_sys::MemoryContextSwitchTo(pg_sys::TopTransactionContext) })
    }
}

impl Drop for TransactionContext {
    fn drop(&mut self) {
        // SAFETY: the context was current further up the stack.
        unsafe { pg_sys::MemoryContextSwitchTo(self.0) };
    }
}

/// Registers the worker with the postmaster; `None` if no slot becomes free in time.
fn register(name: &str, channel: &Channel) -> Option<*mut pg_sys::BackgroundWorkerHandle> {
    let mut description = pg_sys::BackgroundWorker {
        bgw_flags: (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION)
            as i32,
        bgw_start_time: pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished,
        bgw_restart_time: pg_sys::BGW_NEVER_RESTART,
        bgw_main_arg: pg_sys::Datum::from(channel.handle()),
        // SAFETY: reads a backend-local variable.
        bgw_notify_pid: unsafe { pg_sys::MyProcPid },
        ..Default::default()
    };
    copy(&mut description.bgw_name, name.as_bytes());
    copy(&mut description.bgw_type, TYPE.to_bytes());
    copy(&mut description.bgw_library_name, b"crewsnow_ops");
    copy(&mut description.bgw_function_name, b"crewsnow_ops_worker_main");
    let end = Instant::now() + START;
    let mut worker = std::ptr::null_mut();
    let mut is_told = false;
    // SAFETY: the server copies the description, and allocates the handle in the current context.
    while !unsafe { pg_sys::RegisterDynamicBackgroundWorker(&mut description, &mut worker) } {
        if Instant::now() >= end {
            return None;
        }
        if !std::mem::replace(&mut is_told, true) {
            pgrx::notice!("waiting up to 10 s for a free slot of max_worker_processes");
        }
        wait_for_latch(100);
    }
    Some(worker)
}

/// Copies a text and its NUL, as far as there is room.
fn copy(target: &mut [c_char], text: &[u8]) {
    let room = target.len() - 1;
    for (to, from) in target.iter_mut().zip(text.iter().take(room)) {
        *to = *from as c_char;
    }
}
