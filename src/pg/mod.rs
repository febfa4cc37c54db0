//! The glue to the server's internals, and the only place for `unsafe` outside the hot path in
//! `flags/evaluate.rs`.
//!
//! # Declarations copied from the server's headers
//!
//! pgrx generates its bindings from the headers of each major version. The declarations below are
//! missing there, or are wrong for our use, so they are written by hand. A new major may change
//! them without a compiler error. Each place therefore has a `copied_for!`, which refuses to
//! compile for a major that has not been compared. Unguarded means: without pgrx's error trap.
//!
//! | place | copied | header | differs between majors |
//! |---|---|---|---|
//! | `xact/timeout.rs` | `USER_TIMEOUT` | `utils/timeout.h` | 12, from 17 on 13 |
//! | `xact/timeout.rs` | `RegisterTimeout`, `enable_timeout_every`, `disable_timeout` | same | no |
//! | `xact/lock_wait.rs` | `errhint` | `utils/elog.h` | no |
//! | `xact/notify.rs` | `Async_Notify` | `commands/async.h` | no |
//! | `xact/sec_context.rs` | `role_string` | `utils/guc.h` | no |
//! | `xact/subtransaction.rs` | names of C functions, message formats | `.c` files | yes |
//! | `xact/advisory_locks.rs` | `SHM_QUEUE` (15), `dlist_node` | `storage/lock.h` | yes |
//! | `xact/notices.rs` | `PQcommMethods` | `libpq/libpq.h` | no |
//! | `xact/temporary_relations.rs` | `standard_ProcessUtility`, unguarded | `tcop/utility.h` | no |
//! | `worker/process.rs` | `die` | `tcop/tcopprot.h` | no |
//! | `worker/process.rs` | `GetCurrentTimestamp`, unguarded | `utils/timestamp.h` | no |
//! | `worker/warnings.rs` | `FrontendProtocol` | `libpq/libpq-be.h` | no |
//! | `memory.rs` | error reports without pgrx | `utils/elog.h` | no |
//! | `fmgr/trigger.rs` | `datum_image_eq` | `utils/datum.h` | no |
//! | `access/slot.rs` | `slot_getsomeattrs_int`, unguarded | `executor/tuptable.h` | no |
//! | `access/scan.rs` | `systable_getnext`, unguarded | `access/genam.h` | no |
//! | `catalog/lookup.rs` | `get_primary_key_attnos` | `catalog/pg_constraint.h` | no |
//! | `catalog/temporary_schemas.rs` | `BackendIdGetProc` | `storage/sinvaladt.h` | other from 17 |
//! | `catalog/invalidation.rs` | `AcceptInvalidationMessages`, unguarded | `utils/inval.h` | no |
//! | `catalog/constraint.rs` | oid of `pg_constraint` | `catalog/pg_constraint.h` | no |
//! | `storage/block_scan.rs` | buffer functions, unguarded | `storage/bufmgr.h` | no |
//! | `storage/block_scan.rs` | `FirstNormalTransactionId` | `access/transam.h` | no |
//! | `storage/brin.rs` | layout of BRIN pages and tuples | `access/brin_page.h` | no |
//! | `storage/direct_insert.rs` | oid of `now()`, node text of `FuncExpr` | `pg_proc.dat` | no |
//! | `rewrite/mutate.rs` | the tree mutators | `nodes/nodeFuncs.h` | other names from 16 on |
//! | `rewrite/function_body.rs` | `prepare_sql_fn_parse_info` | `executor/functions.h` | no |
//! | `rewrite/function_body.rs` | `sql_fn_parser_setup` | same | no |
//! | `rewrite/function_body.rs` | `setRuleCheckAsUser` | `rewrite/rewriteDefine.h` | no |
//! | `rewrite/row_security.rs` | `datumCopy` | `utils/datum.h` | no |
//!
//! `flags/evaluate.rs` copies nothing: its `Pg_finfo_record` is pgrx's.

// The one place with leave to be unsafe: `Cargo.toml` denies it. Each block says why it is sound.
#![allow(unsafe_code)]

/// Refuses to compile for a major version whose headers have not been compared with a copy.
macro_rules! copied_for {
    ($($feature:literal)+: $copy:literal) => {
        #[cfg(not(any($(feature = $feature),+)))]
        compile_error!(concat!(
            "compare with this PostgreSQL's headers, then add its feature here: ",
            $copy
        ));
    };
}

pub mod access;
pub mod at_exit;
pub mod backend_local;
pub mod builtins;
pub mod catalog;
pub mod checked_setting;
pub mod clock;
pub mod cstring;
pub mod error;
pub mod fmgr;
pub mod installation;
pub mod memory;
pub mod process;
mod reserve;
pub mod rewrite;
pub mod storage;
pub mod trail_erasure;
pub mod worker;
pub mod xact;

#[cfg(any(test, feature = "pg_test"))]
mod server_tests;

/// Keeps Rust back-traces out of users' error messages.
///
/// pgrx's panic hook captures a back-trace whenever the server's environment has `RUST_BACKTRACE`
/// set, also for a plain SQL error that passes through Rust, and appends it to the DETAIL.
/// Messages travel in the panic's payload, not in the hook. The place of a panic of our own goes
/// to the server's log.
pub fn silence_backtraces() {
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload_as_str().is_some() {
            eprintln!("crewsnow_ops: {panic}");
        }
    }));
}

/// Reserves a prefix of settings: from now on the server refuses unknown names that begin with it.
pub fn reserve_setting_prefix(prefix: &'static std::ffi::CStr) {
    // SAFETY: a NUL-terminated string, which the server copies.
    unsafe { pgrx::pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) };
}
