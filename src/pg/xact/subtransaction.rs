//! Work that may fail without the transaction failing with it, and the classes of its failures.

use super::sqlstate;
use crate::pg::reserve::Reserve;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport, ErrorReportable};
use pgrx::prelude::*;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};

copied_for!("pg15" "pg16" "pg17" "pg18": "INTERRUPT_FUNCTION, PLAIN_MESSAGES, SANDBOX_FORMATS");

/// The C function in which the server looks for interrupts and raises them.
///
/// SQLSTATE alone cannot tell an interrupt: work can raise 57014 with RAISE. The server's flags
/// cannot either, because `ProcessInterrupts` resets `QueryCancelPending` and the timeout's
/// indicator before it raises. The name of the raising C function is part of each error report.
/// It is never translated, SQL cannot set it, and a parallel worker's report keeps it. The name
/// depends on the server's source alone, hence `copied_for!` and `server_tests` on each major.
const INTERRUPT_FUNCTION: &str = "ProcessInterrupts";

/// Formats of the errors with which the server enforces the security context of
/// [`as_client`](super::sec_context::as_client): the keys of its message catalog.
///
/// SQLSTATE 42501 also stands for a missing privilege, and the C function that refuses SET raises
/// both. The report's untranslated `message_id` would tell, but pgrx drops it. So a message is
/// compared with these formats as the server's catalog translates them at that moment.
const SANDBOX_FORMATS: [&CStr; 6] = [
    c"cannot set parameter \"%s\" within security-definer function",
    c"cannot set parameter \"%s\" within security-restricted operation",
    c"cannot execute %s within security-restricted operation",
    c"cannot create temporary table within security-restricted operation",
    c"cannot create a cursor WITH HOLD within security-restricted operation",
    c"cannot fire deferred trigger within security-restricted operation",
];

/// Errors whose messages hold no values of rows, with the C function that raises each.
///
/// The SQLSTATE does not tell: RAISE can set any, and a statement that EXECUTE composes of values
/// quotes them in its syntax errors. SQL cannot set the name of the C function (see
/// [`INTERRUPT_FUNCTION`]). These name a command, a setting, or an object that exists.
const PLAIN_MESSAGES: [(PgSqlErrorCode, &str); 15] = {
    use PgSqlErrorCode as Code;
    [
        (Code::ERRCODE_INSUFFICIENT_PRIVILEGE, "aclcheck_error"),
        (Code::ERRCODE_INSUFFICIENT_PRIVILEGE, "aclcheck_error_col"),
        (Code::ERRCODE_INSUFFICIENT_PRIVILEGE, "check_enable_rls"),
        (Code::ERRCODE_INSUFFICIENT_PRIVILEGE, "CheckRestrictedOperation"),
        (Code::ERRCODE_INSUFFICIENT_PRIVILEGE, "DefineRelation"),
        (Code::ERRCODE_INSUFFICIENT_PRIVILEGE, "PerformCursorOpen"),
        (Code::ERRCODE_INSUFFICIENT_PRIVILEGE, "afterTriggerMarkEvents"),
        (Code::ERRCODE_INSUFFICIENT_PRIVILEGE, "set_config_option"),
        (Code::ERRCODE_INSUFFICIENT_PRIVILEGE, "set_config_option_ext"),
        (Code::ERRCODE_INSUFFICIENT_PRIVILEGE, "set_config_with_handle"),
        (Code::ERRCODE_READ_ONLY_SQL_TRANSACTION, "PreventCommandIfReadOnly"),
        (Code::ERRCODE_INVALID_OBJECT_DEFINITION, "fireRIRrules"),
        (Code::ERRCODE_STATEMENT_TOO_COMPLEX, "check_stack_depth"),
        (Code::ERRCODE_QUERY_CANCELED, INTERRUPT_FUNCTION),
        (Code::ERRCODE_LOCK_NOT_AVAILABLE, INTERRUPT_FUNCTION),
    ]
};

/// A format in the language in which this session reports errors now (`lc_messages`).
fn translated(format: &CStr) -> String {
    // The C library's function, which a server built with --enable-nls calls for each message.
    // Where it is not the C library's, messages are compared untranslated.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    let translation = {
        use std::ffi::c_char;
        unsafe extern "C" {
            fn dgettext(domain: *const c_char, format: *const c_char) -> *mut c_char;
        }
        let domain =
            [c"postgres-".to_bytes(), pg_sys::PG_MAJORVERSION.to_bytes_with_nul()].concat();
        // SAFETY: both are NUL-terminated. The result is a catalog's text or `format` itself.
        unsafe { CStr::from_ptr(dgettext(domain.as_ptr().cast(), format.as_ptr())) }
    };
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let translation = format;
    translation.to_string_lossy().into_owned()
}

/// Whether `message` is `format` with some text in place of its `%s`, if it has one.
fn fits(message: &str, format: &str) -> bool {
    match format.split_once("%s") {
        None => message == format,
        Some((head, tail)) => message.strip_prefix(head).is_some_and(|rest| rest.ends_with(tail)),
    }
}

/// A caught error.
#[derive(Debug)]
pub struct Failure {
    /// The SQLSTATE; one that pgrx does not know becomes XX000.
    pub code: PgSqlErrorCode,
    /// The SQLSTATE that pgrx does not know.
    unknown_code: Option<i32>,
    /// The primary message, in the language of `lc_messages`.
    pub message: String,
    detail: Option<String>,
    hint: Option<String>,
    /// The C or Rust function that raised it.
    function: Option<String>,
    is_sandbox_violation: bool,
}

impl Failure {
    /// Raises the error again.
    pub fn raise(self) -> ! {
        // An outer catcher must recognize an interrupt, too.
        let function =
            if self.is_interrupt() { INTERRUPT_FUNCTION } else { pgrx::function_name!() };
        if let Some(code) = self.unknown_code {
            sqlstate::note(code, &self.message);
        }
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

    /// Whether the session was asked to stop: by a cancel, a timeout or a shutdown. See
    /// `INTERRUPT_FUNCTION`.
    ///
    /// The server raises a shutdown as FATAL, which nothing catches. It arrives here only from a
    /// parallel worker, whose reports the leader raises as ERROR.
    #[must_use]
    pub fn is_interrupt(&self) -> bool {
        self.function.as_deref() == Some(INTERRUPT_FUNCTION)
            && matches!(
                self.code,
                PgSqlErrorCode::ERRCODE_QUERY_CANCELED
                    | PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN
                    | PgSqlErrorCode::ERRCODE_CRASH_SHUTDOWN
                    | PgSqlErrorCode::ERRCODE_DATABASE_DROPPED
            )
    }

    /// Whether the server gave up waiting for a lock, and not a statement with NOWAIT or RAISE. See
    /// `INTERRUPT_FUNCTION`.
    #[must_use]
    pub fn is_lock_timeout(&self) -> bool {
        self.function.as_deref() == Some(INTERRUPT_FUNCTION)
            && self.code == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE
    }

    /// Whether the work failed because [`as_client`](super::sec_context::as_client) confines it.
    /// A client's request would not have failed. See `SANDBOX_FORMATS`.
    #[must_use]
    pub fn is_sandbox_violation(&self) -> bool {
        self.is_sandbox_violation
    }

    /// The SQLSTATE, and the message if it is one of `PLAIN_MESSAGES`. Any other may quote rows or
    /// claims, and the name of the condition takes its place. Detail, hint and context are left
    /// out.
    #[must_use]
    pub fn redacted_message(&self) -> String {
        let state = self.state();
        let raised_by = |function: &str| self.function.as_deref() == Some(function);
        if PLAIN_MESSAGES.iter().any(|(code, function)| *code == self.code && raised_by(function)) {
            return format!("{state}: {}", self.message);
        }
        let condition = format!("{:?}", self.code).to_ascii_lowercase();
        let condition = condition.trim_start_matches("errcode_");
        format!("{state} {condition} (message withheld: it may contain row data)")
    }

    /// Whether the same work may succeed later: a lock that was not available (55P03), a
    /// conflict (40), missing resources (53) or a system error (58).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let state = self.state();
        state == "55P03" || matches!(state.get(..2), Some("40" | "53" | "58"))
    }

    /// Whether the work needed more stack than max_stack_depth.
    #[must_use]
    pub fn is_stack_overflow(&self) -> bool {
        self.code == PgSqlErrorCode::ERRCODE_STATEMENT_TOO_COMPLEX
    }

    /// The SQLSTATE as five characters.
    #[must_use]
    pub fn state(&self) -> String {
        sqlstate::text(self.unknown_code.unwrap_or(self.code as i32))
    }

    /// Classifies at once: later, the rollback may have put back another `lc_messages`.
    pub(in crate::pg) fn caught(error: &CaughtError) -> Self {
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        let (code, message) = (report.sql_error_code(), report.message());
        let is_sandbox_violation = match code {
            PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION => true,
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE => {
                SANDBOX_FORMATS.iter().any(|format| fits(message, &translated(format)))
            }
            _ => false,
        };
        Self {
            code,
            unknown_code: sqlstate::original(code, message),
            message: message.to_owned(),
            detail: report.detail().map(str::to_owned),
            hint: report.hint().map(str::to_owned),
            function: report.function_name().map(str::to_owned),
            is_sandbox_violation,
        }
    }
}

/// Runs `attempt` in a subtransaction, which is kept if the result is `Ok`.
///
/// The server's procedural languages do the same: the subtransaction ends here in any case, and
/// memory context and resource owner are restored. An error or panic that `attempt` lets pass is
/// passed on after the rollback. An internal subtransaction that stayed open would outlive the
/// statement, and outside a transaction block no ROLLBACK could end it.
fn enclosed<R, E>(attempt: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    // SAFETY: the subtransaction that is begun is the one that is ended. `attempt` ends those that
    // it begins by this same function.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        let mut reserve = Reserve::new();
        reserve.hold();
        let error_contexts = pg_sys::error_context_stack;
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        // Caught, because the rollback may raise an error of its own, and a second panic during
        // unwinding would abort the process.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let result = attempt();
            if result.is_ok() {
                pg_sys::ReleaseCurrentSubTransaction();
            }
            result
        }));
        if !matches!(result, Ok(Ok(_))) {
            pg_sys::error_context_stack = error_contexts;
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        // Before an error that passes puts its own entry on the stack.
        drop(reserve);
        result.unwrap_or_else(|passing| {
            sqlstate::push();
            resume_unwind(passing)
        })
    }
}

/// Runs `work` in a subtransaction, undone if it fails with one of these errors; any other error
/// is passed on.
pub fn catching<R>(
    errors: &[PgSqlErrorCode],
    work: impl FnOnce() -> R + UnwindSafe + RefUnwindSafe,
) -> Result<R, Failure> {
    enclosed(|| {
        let mut attempt = PgTryBuilder::new(|| Ok(work()));
        for error in errors {
            attempt = attempt.catch_when(*error, |error| Err(Failure::caught(&error)));
        }
        attempt.execute()
    })
}

/// Runs `work` in a subtransaction, undone if it fails. Catches interrupts, too.
pub fn try_in_subxact<R>(
    work: impl FnOnce() -> R + UnwindSafe + RefUnwindSafe,
) -> Result<R, Failure> {
    enclosed(|| {
        PgTryBuilder::new(|| Ok(work()))
            .catch_others(|error| Err(Failure::caught(&error)))
            .execute()
    })
}

/// Runs `work` in a subtransaction, undone with its locks if the result is false. Errors are passed
/// on.
pub fn kept_if(work: impl FnOnce() -> bool) -> bool {
    enclosed(|| if work() { Ok(()) } else { Err(()) }).is_ok()
}

/// Runs `work` in a subtransaction that is undone, which gives back its locks. Errors are passed
/// on.
pub fn undone<R>(work: impl FnOnce() -> R) -> R {
    match enclosed(|| Err::<std::convert::Infallible, R>(work())) {
        Err(result) => result,
    }
}

/// Runs `work` in a subtransaction that is undone even if it succeeds. Catches interrupts, too.
pub fn rolled_back<R>(work: impl FnOnce() -> R + UnwindSafe + RefUnwindSafe) -> Result<R, Failure> {
    let result = enclosed(|| {
        Err::<std::convert::Infallible, _>(
            PgTryBuilder::new(|| Ok(work()))
                .catch_others(|error| Err(Failure::caught(&error)))
                .execute(),
        )
    });
    match result {
        Err(result) => result,
    }
}

/// Runs `work` in a subtransaction, undone if it fails. Interrupts are raised again.
pub fn isolated<R>(work: impl FnOnce() -> R) -> Result<R, Failure> {
    try_in_subxact(std::panic::AssertUnwindSafe(work)).map_err(Failure::rethrow_interrupt)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_message_fits_its_format_around_the_value() {
        assert!(fits("cannot set \"role\" here", "cannot set \"%s\" here"));
        assert!(fits("kann nicht", "kann nicht"));
        assert!(!fits("kann nicht!", "kann nicht"));
        assert!(!fits("cannot set \"role\" there", "cannot set \"%s\" here"));
        assert!(!fits("a b", "a b%sa b"), "head and tail do not overlap");
    }
}
