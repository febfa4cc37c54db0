//! Walks through expression trees, from Rust.

use pgrx::pg_sys;
use std::ffi::c_void;

/// A callback of the server's tree walkers. Must be `#[pg_guard]`.
pub(crate) type Walker = unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut c_void) -> bool;
/// A callback of the server's tree mutators. Must be `#[pg_guard]`.
pub(crate) type Mutator =
    unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut c_void) -> *mut pg_sys::Node;

/// Calls a walker from Rust.
///
/// A `#[pg_guard]` function hands an error to the server, which jumps to the nearest handler.
/// Called directly, this is not the caller's: the jump would skip all Rust frames between, with
/// the subtransactions and settings that they restore. The boundary is the handler, and turns the
/// error into a panic again.
///
/// # Safety
/// The node must be valid, and the context the walker's.
pub(crate) unsafe fn walk(node: *mut pg_sys::Node, walker: Walker, context: *mut c_void) -> bool {
    // SAFETY: as the caller vouches; the closure owns nothing.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| walker(node, context)) }
}

/// Calls a mutator from Rust. See [`walk`].
///
/// # Safety
/// The node must be valid, and the context the mutator's.
pub(crate) unsafe fn changed(
    node: *mut pg_sys::Node,
    mutator: Mutator,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    // SAFETY: as the caller vouches; the closure owns nothing.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| mutator(node, context)) }
}
