//! The files that this server was started from.

use pgrx::pg_sys;
use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The major version that this library was built for, and that the server therefore has.
pub const MAJOR: u32 = pg_sys::PG_MAJORVERSION_NUM;

/// A path that the server keeps; `None` if it is unset.
///
/// # Safety
/// The pointer is NULL, or to a NUL-terminated string that does not change meanwhile.
unsafe fn path_at(text: *const c_char) -> Option<PathBuf> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    (!text.is_empty()).then(|| Path::new(OsStr::from_bytes(text.to_bytes())).to_owned())
}

/// The directory of the program `postgres` that runs this server, symbolic links resolved.
pub fn program_directory() -> Option<PathBuf> {
    // SAFETY: a static buffer, which the postmaster filled before it forked.
    let program = unsafe { path_at((&raw const pg_sys::my_exec_path).cast()) };
    program?.parent().map(Path::to_owned)
}

/// The directory `$libdir` of loadable libraries.
pub fn library_directory() -> Option<PathBuf> {
    // SAFETY: as above.
    unsafe { path_at((&raw const pg_sys::pkglib_path).cast()) }
}

/// The data directory, as an absolute path.
pub fn data_directory() -> Option<PathBuf> {
    // SAFETY: set once, at the start of the postmaster.
    unsafe { path_at(pg_sys::DataDir) }
}

/// The setting `shared_preload_libraries` of this server.
pub fn preloaded_libraries() -> String {
    // SAFETY: NULL or a string that changes only with a restart.
    let libraries = unsafe { path_at(pg_sys::shared_preload_libraries_string) };
    libraries.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}
