//! Errors as PostgreSQL reports them: SQLSTATE, message, DETAIL and HINT.
//!
//! Each domain has one enum in its own `error.rs` that implements [`SqlError`]. `detail` and `hint`
//! match every variant, without a catch-all arm, so that each new case forces a decision.

use pgrx::pg_sys::panic::{ErrorReport, ErrorReportable};
use pgrx::{PgSqlErrorCode, function_name};

/// An error that a statement can fail with. `Display` is the primary message.
pub trait SqlError: std::fmt::Display {
    /// The SQLSTATE.
    fn sqlstate(&self) -> PgSqlErrorCode;
    /// The DETAIL: facts that were seen, and whether anything was changed.
    fn detail(&self) -> Option<String>;
    /// The HINT: a statement that can be typed.
    fn hint(&self) -> Option<String>;
}

/// The report that the server sends to the client.
pub fn report(error: &impl SqlError) -> ErrorReport {
    let mut report = ErrorReport::new(error.sqlstate(), error.to_string(), function_name!());
    if let Some(detail) = error.detail() {
        report = report.set_detail(detail);
    }
    if let Some(hint) = error.hint() {
        report = report.set_hint(hint);
    }
    report
}

/// Raises an error in a trigger function, where pgrx turns an `Err` into an internal error.
pub fn raise<T, E: Into<ErrorReport>>(result: Result<T, E>) -> T {
    result.map_err(Into::into).unwrap_or_report()
}

/// Writes `From<$error> for ErrorReport`. A blanket impl would break the orphan rule.
macro_rules! reportable {
    ($error:ty) => {
        impl From<$error> for pgrx::pg_sys::panic::ErrorReport {
            fn from(error: $error) -> Self {
                $crate::error::report(&error)
            }
        }
    };
}
pub(crate) use reportable;
