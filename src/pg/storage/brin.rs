//! What a BRIN index of minmax classes says, read from its pages: a scan through the server's own access method deforms and compares each
//! summary through function calls, and most of the time there is nothing to find.

use crate::pg::access::scan::ACCESS_SHARE;
use pgrx::pg_sys;

/// The least and greatest values that the index knows of in a range of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Which range, counted from 0.
    pub range: u32,
    /// Of the first column, an int8.
    pub number: (i64, i64),
    /// Of the second column, a timestamptz.
    pub time: (i64, i64),
}

copied_for!("pg15" "pg16" "pg17" "pg18": "layout of access/brin_page.h and access/brin_tuple.h");

/// `BRIN_META_MAGIC` and `BRIN_CURRENT_VERSION`, which has been the same since there is BRIN.
const MAGIC: [u32; 2] = [0xA810_9CFA, 1];
/// `BRIN_PAGETYPE_REGULAR`, in the last two bytes of a page.
const REGULAR: u16 = 0xF093;
/// `BRIN_OFFSET_MASK`: where the values begin.
const OFFSET: u8 = 0x1F;
/// `BRIN_PLACEHOLDER_MASK`: the summary is still being made.
const PLACEHOLDER: u8 = 0x40;
/// `BRIN_NULLS_MASK`: there is a byte that says which columns have no value but NULL.
const NULLS: u8 = 0x80;
/// The operator families int8_minmax_ops and timestamptz_minmax_ops belong to, by their fixed oids.
const FAMILIES: [u32; 2] = [4054, 4059];

/// Whether an index's summaries are those that [`read`] knows: of all rows, and two plain columns, which have no NULLs.
///
/// # Safety
/// The index must be open.
pub unsafe fn is_minmax(index: pg_sys::Relation) -> bool {
    // SAFETY: as the caller vouches; an index has a family for each of its columns.
    unsafe {
        (*(*index).rd_rel).relam == pg_sys::BRIN_AM_OID
            && (*(*index).rd_index).indnatts == 2
            && pg_sys::RelationGetIndexPredicate(index).is_null()
            && pg_sys::RelationGetIndexExpressions(index).is_null()
            && FAMILIES.iter().enumerate().all(|(i, family)| *(*index).rd_opfamily.add(i) == pg_sys::Oid::from(*family))
    }
}

/// Visits all summaries of an index that [`is_minmax`], and returns how many blocks a range has; `None` if it is none that this knows.
/// A range may be visited twice while its summary moves to another page, and its older summary may be the one visited: but an older one
/// than the rows that the running statement can see only while there is a newer one beside it. Unfinished ones are left out.
pub fn read(index: pg_sys::Oid, mut visit: impl FnMut(Summary)) -> Option<u32> {
    // SAFETY: the index is locked. A page is pinned and locked while it is looked at, and its line pointers point into it.
    unsafe {
        let relation = pg_sys::index_open(index, ACCESS_SHARE);
        let blocks = pg_sys::RelationGetNumberOfBlocksInFork(relation, pg_sys::ForkNumber::MAIN_FORKNUM);
        let strategy = std::ptr::null_mut();
        let mut range = None;
        for block in 0..blocks {
            pgrx::check_for_interrupts!();
            let buffer = pg_sys::ReadBufferExtended(
                relation,
                pg_sys::ForkNumber::MAIN_FORKNUM,
                block,
                pg_sys::ReadBufferMode::RBM_NORMAL,
                strategy,
            );
            pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
            let page = pg_sys::BufferGetPage(buffer);
            if block == 0 {
                let meta = pg_sys::PageGetContents(page).cast::<u32>();
                range =
                    (std::ptr::read(meta.cast::<[u32; 2]>()) == MAGIC).then(|| *meta.add(2)).filter(|range| *range > 0);
            } else if !pg_sys::PageIsNew(page) && page_type(page) == REGULAR {
                for number in 1..=pg_sys::PageGetMaxOffsetNumber(page) {
                    let item = pg_sys::PageGetItemId(page, number);
                    if (*item).lp_flags() == pg_sys::LP_NORMAL {
                        let bytes = pg_sys::PageGetItem(page, item).cast::<u8>();
                        let tuple = std::slice::from_raw_parts(bytes, (*item).lp_len() as usize);
                        summary(tuple, range.unwrap_or(1)).map(&mut visit);
                    }
                }
            }
            pg_sys::UnlockReleaseBuffer(buffer);
            if range.is_none() {
                break;
            }
        }
        pg_sys::index_close(relation, ACCESS_SHARE);
        range
    }
}

/// # Safety
/// `page` must be an initialized page.
unsafe fn page_type(page: pg_sys::Page) -> u16 {
    // SAFETY: as the caller vouches; every page is this long.
    unsafe { page.add(pg_sys::BLCKSZ as usize - 2).cast::<u16>().read() }
}

/// A tuple: its range's first block, a byte of flags and offset, and from that offset on the columns' least and greatest values. One of
/// a range without rows overlaps nothing.
fn summary(tuple: &[u8], blocks_per_range: u32) -> Option<Summary> {
    let (block, flags) = (u32::from_ne_bytes(tuple.get(..4)?.try_into().ok()?), *tuple.get(4)?);
    let range = block / blocks_per_range;
    let without_values = if flags & NULLS == 0 { 0 } else { *tuple.get(5)? & 0b11 };
    if flags & PLACEHOLDER != 0 || matches!(without_values, 0b01 | 0b10) {
        return None;
    }
    if without_values != 0 {
        const NOTHING: (i64, i64) = (i64::MAX, i64::MIN);
        return Some(Summary { range, number: NOTHING, time: NOTHING });
    }
    let values = tuple.get(usize::from(flags & OFFSET)..)?;
    let value = |i: usize| Some(i64::from_ne_bytes(values.get(8 * i..8 * i + 8)?.try_into().ok()?));
    Some(Summary { range, number: (value(0)?, value(1)?), time: (value(2)?, value(3)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuples() {
        let tuple = |flags: u8, nulls: u8| {
            let mut bytes = [&256_u32.to_ne_bytes()[..], &[flags, nulls, 0, 0]].concat();
            [3_i64, 9, -5, 7].iter().for_each(|value| bytes.extend(value.to_ne_bytes()));
            bytes
        };
        let values = Some(Summary { range: 2, number: (3, 9), time: (-5, 7) });
        assert_eq!(summary(&tuple(8, 0), 128), values);
        assert_eq!(summary(&tuple(8 | NULLS, 0b1100), 128), values, "once without rows, as old servers keep it");
        let nothing = summary(&tuple(8 | 0x20 | NULLS, 0b0011), 128).map(|summary| (summary.range, summary.number));
        assert_eq!(nothing, Some((2, (i64::MAX, i64::MIN))));
        assert_eq!(summary(&tuple(8 | PLACEHOLDER, 0), 128), None, "being made");
        assert_eq!(summary(&tuple(8 | NULLS, 0b0001), 128), None);
        assert_eq!(summary(&tuple(8, 0)[..39], 128), None);
        assert_eq!(summary(&[], 128), None);
    }
}
