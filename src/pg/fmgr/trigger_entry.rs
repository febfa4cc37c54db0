//! Entries of trigger functions, which SQL names in place of pgrx's wrappers.
//!
//! A wrapper panics if anything but a trigger calls it, and the panic reaches the user as XX000. An
//! entry answers such a call with 39P01.

use crate::error::raise;
use crate::pg::error::ServerError;
use pgrx::pg_sys;

/// Whether the server calls the function for a trigger.
///
/// # Safety
/// The call must be one of the server's.
unsafe fn is_of_trigger(fcinfo: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: guaranteed by the caller; a context is a node of any kind, or NULL.
    unsafe {
        (*fcinfo)
            .context
            .cast::<pg_sys::Node>()
            .as_ref()
            .is_some_and(|node| node.type_ == pg_sys::NodeTag::T_TriggerData)
    }
}

/// Raises 39P01. The guard turns the Rust error into the server's.
#[pgrx::pg_guard]
extern "C-unwind" fn refuse(index: usize) -> pg_sys::Datum {
    let name = NAMES.get(index).copied().unwrap_or("a trigger function");
    raise(Err::<pg_sys::Datum, _>(ServerError::NotATrigger(name)))
}

macro_rules! entries {
    ($($index:literal $name:literal $finfo:ident $entry:ident $wrapper:ident),* $(,)?) => {
        /// The SQL names, by index.
        const NAMES: &[&str] = &[$($name),*];

        unsafe extern "C-unwind" {
            $(fn $wrapper(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum;)*
        }

        $(
            /// Tells the server how to call the entry.
            #[unsafe(no_mangle)]
            pub extern "C" fn $finfo() -> &'static pg_sys::Pg_finfo_record {
                const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
                &V1
            }

            /// The entry of the trigger function.
            ///
            /// # Safety
            /// Called by the server only.
            #[unsafe(no_mangle)]
            pub unsafe extern "C-unwind" fn $entry(
                fcinfo: pg_sys::FunctionCallInfo,
            ) -> pg_sys::Datum {
                // SAFETY: passes on the server's call. No value in here needs to be dropped.
                unsafe {
                    if is_of_trigger(fcinfo) { $wrapper(fcinfo) } else { (REFUSE)($index) }
                }
            }
        )*
    };
}

/// A pointer, because a guarded function is passed to callers and never called by its name.
const REFUSE: extern "C-unwind" fn(usize) -> pg_sys::Datum = refuse;

entries! {
    0 "feature_flags_before_write" pg_finfo_feature_flags_before_write_entry
        feature_flags_before_write_entry feature_flags_before_write_wrapper,
    1 "feature_flags_after_write" pg_finfo_feature_flags_after_write_entry
        feature_flags_after_write_entry feature_flags_after_write_wrapper,
    2 "feature_flags_begin_statement" pg_finfo_feature_flags_begin_statement_entry
        feature_flags_begin_statement_entry feature_flags_begin_statement_wrapper,
    3 "feature_flags_end_statement" pg_finfo_feature_flags_end_statement_entry
        feature_flags_end_statement_entry feature_flags_end_statement_wrapper,
    4 "feature_flags_before_truncate" pg_finfo_feature_flags_before_truncate_entry
        feature_flags_before_truncate_entry feature_flags_before_truncate_wrapper,
    5 "flag_history_is_append_only" pg_finfo_flag_history_is_append_only_entry
        flag_history_is_append_only_entry flag_history_is_append_only_wrapper,
    6 "flag_history_after_restore" pg_finfo_flag_history_after_restore_entry
        flag_history_after_restore_entry flag_history_after_restore_wrapper,
}
