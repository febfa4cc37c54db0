//! Memory: contexts of the server, and Rust's own allocations within the limits of the server.
//!
//! Where the server runs out of memory it raises 53200. Rust aborts the process instead, and the
//! postmaster then ends every session of the server. So [`Allocator`] counts what is allocated, and
//! [`check`] raises 53200 while there is still room. Loops over rows call it. An allocation that
//! fails elsewhere ends this one session with FATAL, also 53200. `reserve.rs` keeps room for pgrx,
//! which copies each error of the server.

use crate::error::raise;
use crate::pg::error::ServerError;
use pgrx::{PgMemoryContexts, pg_sys};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Rust's allocator: the system's, with an account of the bytes in use.
pub struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Bytes in use. A backend has one thread, so plain loads and stores count right; in the tests of
/// the pure core, which has several threads, nothing reads the account.
static IN_USE: AtomicUsize = AtomicUsize::new(0);
/// The largest allocation of late, in bytes.
static LARGEST: AtomicUsize = AtomicUsize::new(0);
/// [`check`] looks for room once this many bytes are in use.
static NEXT_CHECK: AtomicUsize = AtomicUsize::new(0);
/// [`fail`] in a backend, NULL elsewhere. A pointer, so that the tests of the pure core link
/// without the server.
static ON_FAILURE: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Bytes that may be allocated between two searches for room.
const STEP: usize = 1 << 18;

/// From now on a failed allocation is reported to the server. Called when the library is loaded.
pub fn report_failures() {
    ON_FAILURE.store(fail as fn(usize) as *mut (), Ordering::Relaxed);
}

fn add(size: usize) {
    IN_USE.store(IN_USE.load(Ordering::Relaxed).wrapping_add(size), Ordering::Relaxed);
    if size > LARGEST.load(Ordering::Relaxed) {
        LARGEST.store(size, Ordering::Relaxed);
    }
}

fn subtract(size: usize) {
    let in_use = IN_USE.load(Ordering::Relaxed).wrapping_sub(size);
    IN_USE.store(in_use, Ordering::Relaxed);
    if in_use.wrapping_add(2 * STEP) < NEXT_CHECK.load(Ordering::Relaxed) {
        NEXT_CHECK.store(in_use.wrapping_add(STEP), Ordering::Relaxed);
    }
}

/// Raises 53200 if memory is short: if a container of the largest size could not be doubled. Costs
/// a comparison, and a trial allocation for each 256 kB that were added.
#[inline(always)]
pub fn check() {
    if IN_USE.load(Ordering::Relaxed) >= NEXT_CHECK.load(Ordering::Relaxed) {
        look_for_room();
    }
}

#[cold]
fn look_for_room() {
    let in_use = IN_USE.load(Ordering::Relaxed);
    let largest = LARGEST.load(Ordering::Relaxed).min(in_use);
    LARGEST.store(largest, Ordering::Relaxed);
    require_room(2 * largest + 2 * STEP);
    NEXT_CHECK.store(in_use + STEP, Ordering::Relaxed);
}

/// Raises 53200 if the system refuses so many bytes, more than 0. It is for work of the server that
/// needs them: where pgrx finds no room for the copy of the server's error, the process crashes.
pub fn require_room(bytes: usize) {
    let Ok(layout) = Layout::from_size_align(bytes, 16) else { return };
    // SAFETY: the layout is not empty. The block is freed at once, and kept from the optimizer,
    // which may remove an allocation without use.
    let has_room = unsafe {
        let block = std::hint::black_box(System.alloc(layout));
        if !block.is_null() {
            System.dealloc(block, layout);
        }
        !block.is_null()
    };
    if !has_room {
        raise::<(), _>(Err(ServerError::OutOfMemory));
    }
}

copied_for!("pg15" "pg16" "pg17" "pg18": "functions of utils/elog.h in `unguarded`");

/// The server's error reports without pgrx, which would allocate.
mod unguarded {
    use super::{c_char, c_int};

    unsafe extern "C-unwind" {
        pub fn errstart(level: c_int, domain: *const c_char) -> bool;
        pub fn errcode(code: c_int) -> c_int;
        pub fn errmsg(format: *const c_char, ...) -> c_int;
        pub fn errdetail(format: *const c_char, ...) -> c_int;
        pub fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
    }
}

/// Reports a failed allocation to the server, if this is a backend.
#[cold]
fn failed(size: usize) {
    let fail = ON_FAILURE.swap(std::ptr::null_mut(), Ordering::Relaxed);
    if !fail.is_null() {
        // SAFETY: only `report_failures` stores a pointer, to a function of this type.
        let fail: fn(usize) = unsafe { std::mem::transmute(fail) };
        fail(size);
    }
}

/// Ends the session with FATAL.
///
/// An ERROR would jump over Rust frames without running their destructors, and an allocator must
/// not unwind. FATAL returns to none of them: the process ends, and the server cleans up.
#[cold]
fn fail(size: usize) {
    // SAFETY: the formats fit their arguments. The server keeps memory for such a report.
    unsafe {
        if unguarded::errstart(pg_sys::FATAL as c_int, std::ptr::null()) {
            unguarded::errcode(pgrx::PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int);
            unguarded::errmsg(c"out of memory".as_ptr());
            unguarded::errdetail(
                c"crewsnow_ops failed on request of size %zu. Only this session ends.".as_ptr(),
                size,
            );
        }
        unguarded::errfinish(c"memory.rs".as_ptr(), line!() as c_int, c"fail".as_ptr());
    }
}

// SAFETY: the system's allocator does the work; a failure is NULL or ends the process.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller vouches.
        let block = unsafe { System.alloc(layout) };
        if block.is_null() {
            failed(layout.size());
            return block;
        }
        add(layout.size());
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller vouches.
        let block = unsafe { System.alloc_zeroed(layout) };
        if block.is_null() {
            failed(layout.size());
            return block;
        }
        add(layout.size());
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        subtract(layout.size());
        // SAFETY: as the caller vouches.
        unsafe { System.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller vouches.
        let moved = unsafe { System.realloc(block, layout, size) };
        if moved.is_null() {
            failed(size);
            return moved;
        }
        add(size);
        subtract(layout.size());
        moved
    }
}

/// Switches back to this context when dropped, also when an error unwinds the stack.
struct SwitchBack(pg_sys::MemoryContext);

impl Drop for SwitchBack {
    fn drop(&mut self) {
        // SAFETY: the context was current further up the stack, so it outlives this value.
        unsafe { pg_sys::MemoryContextSwitchTo(self.0) };
    }
}

/// Runs `work` in a memory context of its own. Afterwards everything is freed that the server
/// allocated in it.
pub fn in_temporary_context<R>(work: impl FnOnce() -> R) -> R {
    let mut context = PgMemoryContexts::new("crewsnow_ops");
    // SAFETY: reads a backend-local variable.
    let _back = SwitchBack(unsafe { pg_sys::CurrentMemoryContext });
    // SAFETY: `context` is dropped after `work`. The result owns its memory by Rust's allocator.
    unsafe { context.switch_to(|_| work()) }
}
