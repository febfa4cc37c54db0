//! One statement at top level, as a client's session runs it.

use crate::pg::cstring::c_string;
use crate::pg::xact::interrupts;
use crate::pg::xact::subtransaction::Failure;
use pgrx::{PgTryBuilder, pg_sys};
use std::ffi::CString;
use std::panic::AssertUnwindSafe;

/// Memory of one statement: its transactions end before it, so theirs does not do.
struct StatementContext(pg_sys::MemoryContext);

impl StatementContext {
    fn new() -> Self {
        // SAFETY: a context of its own, which only the drop deletes.
        Self(unsafe {
            pg_sys::AllocSetContextCreateInternal(
                pg_sys::TopMemoryContext,
                c"crewsnow_ops statement".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        })
    }
}

impl Drop for StatementContext {
    fn drop(&mut self) {
        // SAFETY: no transaction is open, so the server keeps no pointer into the context.
        unsafe {
            pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
            pg_sys::MemoryContextDelete(self.0);
        }
    }
}

/// Runs a statement in transactions of its own, as the server's simple query protocol does.
pub(super) fn run(sql: &str) -> Result<(), Failure> {
    let context = StatementContext::new();
    let text = c_string(sql);
    report_activity(Some(&text));
    let result = in_transaction(|| {
        // SAFETY: the context outlives the transactions, and the text the context.
        unsafe { execute(&text, context.0) }
    });
    report_activity(None);
    result
}

/// Runs `work` in a transaction, which is undone if it fails.
pub(super) fn in_transaction<R>(work: impl FnOnce() -> R) -> Result<R, Failure> {
    let work = AssertUnwindSafe(work);
    let result = PgTryBuilder::new(AssertUnwindSafe(|| {
        // SAFETY: no transaction is open.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
        }
        let result = work.0();
        // SAFETY: closes the transaction, or the last one of a statement that has several.
        unsafe { pg_sys::CommitTransactionCommand() };
        Ok(result)
    }))
    .catch_others(|error| Err(Failure::caught(&error)))
    .execute();
    // SAFETY: the error was caught. The statistics of the statement are sent at once, because
    // the worker may wait long for the next one.
    unsafe {
        if result.is_err() {
            interrupts::postponed(|| pg_sys::AbortCurrentTransaction());
        }
        pg_sys::pgstat_report_stat(true);
    }
    result
}

/// Shows the statement in pg_stat_activity and in the lines of the server's log.
fn report_activity(sql: Option<&CString>) {
    let text = sql.map_or(std::ptr::null(), |sql| sql.as_ptr());
    // SAFETY: the text lives until the statement ends, when the pointer is set back.
    unsafe {
        pg_sys::debug_query_string = text;
        let state = if sql.is_some() {
            pg_sys::BackendState::STATE_RUNNING
        } else {
            pg_sys::BackendState::STATE_IDLE
        };
        pg_sys::pgstat_report_activity(state, text);
    }
}

/// # Safety
/// A transaction must be open, and the context must outlive it and those that the statement opens.
unsafe fn execute(sql: &CString, context: pg_sys::MemoryContext) {
    // SAFETY: the calls of the server's exec_simple_query, in its order. Everything is allocated
    // in the context. The list has one element.
    unsafe {
        pg_sys::MemoryContextSwitchTo(context);
        let parsed = pg_sys::pg_parse_query(sql.as_ptr());
        if pg_sys::list_length(parsed) != 1 {
            pgrx::error!("a worker runs one statement at a time");
        }
        let raw = pg_sys::list_nth(parsed, 0).cast::<pg_sys::RawStmt>();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let none = std::ptr::null_mut();
        let analyzed = pg_sys::pg_analyze_and_rewrite_fixedparams(
            raw,
            sql.as_ptr(),
            std::ptr::null(),
            0,
            none,
        );
        let plans = pg_sys::pg_plan_queries(
            analyzed,
            sql.as_ptr(),
            pg_sys::CURSOR_OPT_PARALLEL_OK as i32,
            none.cast(),
        );
        pg_sys::PopActiveSnapshot();
        let portal = pg_sys::CreatePortal(c"".as_ptr(), true, true);
        (*portal).visible = false;
        let tag = pg_sys::CreateCommandTag((*raw).stmt);
        pg_sys::PortalDefineQuery(
            portal,
            std::ptr::null(),
            sql.as_ptr(),
            tag,
            plans,
            std::ptr::null_mut(),
        );
        pg_sys::PortalStart(portal, none.cast(), 0, std::ptr::null_mut());
        let receiver = pg_sys::CreateDestReceiver(pg_sys::CommandDest::DestNone);
        let mut completion = pg_sys::QueryCompletion::default();
        pg_sys::PortalRun(
            portal,
            std::ffi::c_long::MAX,
            true,
            #[cfg(not(feature = "pg18"))]
            true,
            receiver,
            receiver,
            &mut completion,
        );
        pg_sys::PortalDrop(portal, false);
    }
}
