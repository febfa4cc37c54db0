//! Something that may fail without the transaction failing with it.

use pgrx::pg_sys::panic::{CaughtError, ErrorReport, ErrorReportable};
use pgrx::prelude::*;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// The server's function that raises what comes from outside.
const INTERRUPTS: &str = "ProcessInterrupts";

/// How something failed.
#[derive(Debug)]
pub struct Failure {
    /// The SQLSTATE.
    pub code: PgSqlErrorCode,
    /// The message.
    pub message: String,
    detail: Option<String>,
    hint: Option<String>,
    /// Where the server raised it.
    function: Option<String>,
}

impl Failure {
    /// Fails with it after all.
    pub fn raise(self) -> ! {
        // Whoever catches it next must know it as what it is.
        let function = if self.is_interrupt() { INTERRUPTS } else { pgrx::function_name!() };
        let mut report = ErrorReport::new(self.code, self.message, function);
        if let Some(detail) = self.detail {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint {
            report = report.set_hint(hint);
        }
        match Err::<std::convert::Infallible, _>(report).unwrap_or_report() {}
    }

    /// Raises an interrupt again; returns any other failure.
    #[must_use]
    pub fn rethrow_interrupt(self) -> Self {
        if self.is_interrupt() { self.raise() } else { self }
    }

    /// Whether it is about the session and not about what was tried: somebody wants it to stop, or it has to. What was tried can raise the same
    /// by itself, but not from where the server looks for interrupts.
    #[must_use]
    pub fn is_interrupt(&self) -> bool {
        let is_interrupt = self.function.as_deref() == Some(INTERRUPTS);
        is_interrupt
            && matches!(
                self.code,
                PgSqlErrorCode::ERRCODE_QUERY_CANCELED
                    | PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN
                    | PgSqlErrorCode::ERRCODE_CRASH_SHUTDOWN
                    | PgSqlErrorCode::ERRCODE_DATABASE_DROPPED
            )
    }

    /// Whether it failed because of how [`as_client`](super::sec_context::as_client) confines it, where a request would not have.
    #[must_use]
    pub fn is_sandbox_violation(&self) -> bool {
        match self.code {
            PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION => true,
            // Where messages are translated, it is said to fail.
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE => {
                self.message.contains("within security-definer function")
                    || self.message.contains("within security-restricted operation")
            }
            _ => false,
        }
    }

    /// The SQLSTATE and the message, where that is about objects. One about values may quote what stands in rows or claims.
    #[must_use]
    pub fn redacted_message(&self) -> String {
        let state = self.state();
        match state.get(..2) {
            Some("22" | "23" | "P0") => format!("{state}, whose message may hold values of rows"),
            _ => format!("{state}: {}", self.message),
        }
    }

    /// Whether it is about the moment: a lock that somebody else holds, memory, too many connections. It says nothing about what was tried.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let state = self.state();
        state == "55P03" || matches!(state.get(..2), Some("40" | "53" | "58"))
    }

    /// The SQLSTATE as five characters.
    #[must_use]
    pub fn state(&self) -> String {
        let code = self.code as u32;
        (0..5).map(|i| char::from(((code >> (6 * i)) & 0x3f) as u8 + b'0')).collect()
    }

    fn of(error: &CaughtError) -> Self {
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        Self {
            code: report.sql_error_code(),
            message: report.message().to_owned(),
            detail: report.detail().map(str::to_owned),
            hint: report.hint().map(str::to_owned),
            function: report.function_name().map(str::to_owned),
        }
    }
}

/// Runs `attempt` in a subtransaction, which is kept if the result is `Ok`.
///
/// As the server's own procedural languages do it: the subtransaction ends here in either way, and memory context and resource owner are
/// put back. An error that `attempt` lets pass leaves it open, to be aborted with the transaction.
fn enclosed<R, E>(attempt: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    // SAFETY: the subtransaction that is begun is the one that is ended.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let result = attempt();
        if result.is_ok() {
            pg_sys::ReleaseCurrentSubTransaction();
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        result
    }
}

/// Runs `work` in a subtransaction, undone if it fails with one of these errors; any other is passed on.
pub fn catching<R>(
    errors: &[PgSqlErrorCode],
    work: impl FnOnce() -> R + UnwindSafe + RefUnwindSafe,
) -> Result<R, Failure> {
    enclosed(|| {
        let mut attempt = PgTryBuilder::new(|| Ok(work()));
        for error in errors {
            attempt = attempt.catch_when(*error, |error| Err(Failure::of(&error)));
        }
        attempt.execute()
    })
}

/// Runs `work` in a subtransaction, undone if it fails in whatever way.
pub fn try_in_subxact<R>(work: impl FnOnce() -> R + UnwindSafe + RefUnwindSafe) -> Result<R, Failure> {
    enclosed(|| PgTryBuilder::new(|| Ok(work())).catch_others(|error| Err(Failure::of(&error))).execute())
}

/// Runs `work` in a subtransaction that is undone however it ends.
pub fn rolled_back<R>(work: impl FnOnce() -> R + UnwindSafe + RefUnwindSafe) -> Result<R, Failure> {
    let result = enclosed(|| {
        Err::<std::convert::Infallible, _>(
            PgTryBuilder::new(|| Ok(work())).catch_others(|error| Err(Failure::of(&error))).execute(),
        )
    });
    match result {
        Err(result) => result,
    }
}

/// Runs `work` in a subtransaction, so that only `work` fails with it. Interrupts are raised again.
pub fn isolated<R>(work: impl FnOnce() -> R) -> Result<R, Failure> {
    try_in_subxact(std::panic::AssertUnwindSafe(work)).map_err(Failure::rethrow_interrupt)
}
