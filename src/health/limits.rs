//! The setting `crewsnow_ops.health_limits`, and queries with the limits that hold.

use super::limit_list;
use super::limit_list::InvalidLimit;
use crate::pg::checked_setting;
use pgrx::GucSetting;
use std::ffi::CString;

static HEALTH_LIMITS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

/// Defines the setting. Superusers only: with higher limits other roles would pass decisions.
pub(crate) fn register() {
    checked_setting::define(
        c"crewsnow_ops.health_limits",
        c"Limits of health checks, as name = number, separated by commas.",
        c"Each name that is not given keeps its default: 'long_queries.warning = 7200' lets \
          statements run for two hours.",
        &HEALTH_LIMITS,
        |text| match limit_list::parse(text) {
            Ok(_) => Ok(()),
            Err(InvalidLimit(reason)) => Err((
                reason,
                "SET crewsnow_ops.health_limits = 'long_queries.warning = 7200';".to_owned(),
            )),
        },
    );
}

fn text() -> String {
    HEALTH_LIMITS.get().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The limit of that name.
pub(super) fn limit(name: &str) -> f64 {
    limit_list::value(&text(), name)
}

/// A query with its limits, and the number of processors as `@processors@`.
pub(super) fn filled(sql: &str) -> String {
    limit_list::fill(sql, &text()).replace("@processors@", &processors().to_string())
}

/// Processors that the server may use; 1 if the system does not tell.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
