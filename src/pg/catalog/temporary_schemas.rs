//! Sessions of this database that own temporary tables.

use pgrx::pg_sys;

copied_for!("pg15" "pg16" "pg17" "pg18": "BackendIdGetProc of storage/sinvaladt.h");

// Left out by pgrx. The numbers begin with 1.
#[cfg(any(feature = "pg15", feature = "pg16"))]
unsafe extern "C-unwind" {
    #[link_name = "BackendIdGetProc"]
    fn process_of(number: i32) -> *mut pg_sys::PGPROC;
}
// The numbers begin with 0.
#[cfg(not(any(feature = "pg15", feature = "pg16")))]
use pg_sys::ProcNumberGetProc as process_of;

/// The schema of a session's temporary tables, and its process.
pub struct Owner {
    /// The schema.
    pub schema: pg_sys::Oid,
    /// The process of the session.
    pub pid: i32,
}

/// The owners of this database's temporary schemas that are in use. A schema that is left over
/// from a session that ended badly has none.
pub fn owners() -> Vec<Owner> {
    // SAFETY: the function checks the number and takes the lock that it needs; entries of shared
    // memory live as long as the server, and a session that ends meanwhile is a stale answer.
    unsafe {
        (0..=pg_sys::MaxBackends)
            .filter_map(|number| process_of(number).as_ref())
            .filter(|process| {
                process.databaseId == pg_sys::MyDatabaseId
                    && process.tempNamespaceId != pg_sys::InvalidOid
            })
            .map(|process| Owner { schema: process.tempNamespaceId, pid: process.pid })
            .collect()
    }
}
