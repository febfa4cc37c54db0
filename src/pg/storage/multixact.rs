//! The space of multixact members, which runs out by itself: a row that many transactions share
//! uses as many members.

use pgrx::pg_sys;
use std::fs::{File, read_dir};
use std::io::{Read, Seek, SeekFrom};

/// Offsets of multixacts on a page, and pages in a file: constants of multixact.c and slru.h.
const OFFSETS_PER_PAGE: u64 = pg_sys::BLCKSZ as u64 / 4;
const PAGES_PER_FILE: u64 = 32;
/// Members in a file: groups of four members take 20 bytes, and no group spans two pages.
const MEMBERS_PER_FILE: u64 = pg_sys::BLCKSZ as u64 / 20 * 4 * PAGES_PER_FILE;
/// Member offsets have 32 bits.
pub const MEMBER_SPACE: u64 = 1 << 32;

/// The members between the oldest multixact that is still needed and the next one.
pub fn members_in_use() -> u64 {
    let mut next = pg_sys::InvalidTransactionId;
    let (mut next_offset, mut oldest, mut database) = (0, next, pg_sys::InvalidOid);
    // SAFETY: takes the lock of the shared counters and copies them.
    unsafe {
        pg_sys::MultiXactGetCheckptMulti(
            false,
            &mut next,
            &mut next_offset,
            &mut oldest,
            &mut database,
        );
    }
    if next == oldest {
        return 0;
    }
    match offset_on_disk(oldest.into_inner().into()) {
        // Offsets wrap around.
        Some(oldest_offset) => u64::from(next_offset.wrapping_sub(oldest_offset)),
        // The oldest multixact is younger than the last checkpoint: the files tell an upper bound.
        None => member_files() * MEMBERS_PER_FILE,
    }
}

/// The first member of a multixact; `None` if it has not been written to disk yet. Offset 0 is
/// never used.
fn offset_on_disk(multixact: u64) -> Option<u32> {
    let file = multixact / OFFSETS_PER_PAGE / PAGES_PER_FILE;
    // A backend's working directory is the data directory.
    let mut file = File::open(format!("pg_multixact/offsets/{file:04X}")).ok()?;
    let position = multixact % (OFFSETS_PER_PAGE * PAGES_PER_FILE) * 4;
    file.seek(SeekFrom::Start(position)).ok()?;
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes).ok()?;
    Some(u32::from_ne_bytes(bytes)).filter(|offset| *offset != 0)
}

fn member_files() -> u64 {
    read_dir("pg_multixact/members").map_or(0, |files| files.count() as u64)
}
