//! Notices and warnings about flags.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, function_name};

/// The columns that update_feature_flag changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Whether the flag is enabled.
    pub enabled: bool,
    /// The rollout percentage.
    pub percentage: i32,
}

impl Setting {
    /// The setting with what the caller asks for; `None` keeps the present value.
    pub fn with(self, enabled: Option<bool>, percentage: Option<i32>) -> Self {
        Self {
            enabled: enabled.unwrap_or(self.enabled),
            percentage: percentage.unwrap_or(self.percentage),
        }
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} %", if self.enabled { "enabled" } else { "disabled" }, self.percentage)
    }
}

/// A NOTICE.
pub fn notify(message: String) {
    let code = PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION;
    ErrorReport::new(code, message, function_name!()).report(PgLogLevel::NOTICE);
}

/// A WARNING with a statement that can be typed.
pub fn warn(message: String, detail: Option<String>, hint: String) {
    let code = PgSqlErrorCode::ERRCODE_WARNING;
    let mut report = ErrorReport::new(code, message, function_name!()).set_hint(hint);
    if let Some(detail) = detail {
        report = report.set_detail(detail);
    }
    report.report(PgLogLevel::WARNING);
}
