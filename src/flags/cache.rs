//! The flags in backend memory. They are loaded once and again only after a change; an evaluation
//! costs the same with ten flags and with ten thousand.

use super::bucket::UserId;
use super::model::{Decision, Flag, MAX_KEY_LENGTH, Targeting, UserContext};
use crate::pg::access::scan;
use crate::pg::access::scan::TableScan;
use crate::pg::backend_local::BackendLocal;
use crate::pg::catalog::{invalidation, lookup};
use crate::pg::memory;
use pgrx::pg_sys;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

type Index = HashMap<Box<[u8]>, u32, BuildHasherDefault<DefaultHasher>>;

struct Cache {
    /// The invalidation generation that the flags were loaded in; 0 before the first load.
    generation: u64,
    index: Index,
    flags: Vec<Flag>,
    user_context: Option<pg_sys::Oid>,
    memos: [Memo; MEMOS],
}

/// Statements evaluate the same few keys row after row. Each key has a slot here, found without
/// hashing the whole key.
const MEMOS: usize = 16;

/// A recently evaluated key, and the position of its flag.
#[derive(Clone, Copy)]
struct Memo {
    key: [u8; MAX_KEY_LENGTH],
    /// 0 if the slot is empty.
    length: u8,
    position: u32,
}

const NO_MEMO: Memo = Memo { key: [0; MAX_KEY_LENGTH], length: 0, position: 0 };

static CACHE: BackendLocal<Cache> = BackendLocal::new(Cache {
    generation: 0,
    index: Index::with_hasher(BuildHasherDefault::new()),
    flags: Vec::new(),
    user_context: None,
    memos: [NO_MEMO; MEMOS],
});

/// Decides without pgrx's guard, if possible: for a recently evaluated flag that is unchanged and
/// has no targeting. Nothing in here can panic, and the only call into the server accepts
/// invalidations.
#[inline(always)]
pub fn decide_fast(key: &[u8], user: Option<&UserId>) -> Option<Decision> {
    invalidation::accept();
    CACHE
        .with(|cache| {
            let memo = cache.memos.get(slot(key))?;
            if cache.generation != invalidation::generation() || !memo.holds(key) {
                return None;
            }
            cache.flags.get(memo.position as usize)?.decide_without_context(user)
        })
        .flatten()
}

/// The slot of a key: length, first and last character tell most keys apart.
#[inline(always)]
fn slot(key: &[u8]) -> usize {
    let (first, last) = (key.first().copied().unwrap_or(0), key.last().copied().unwrap_or(0));
    (key.len() + usize::from(first) * 3 + usize::from(last) * 5) % MEMOS
}

/// Evaluates the flag `key` with all changes committed until now, in every isolation level.
pub fn decide(key: &[u8], user: Option<&UserId>) -> Decision {
    invalidation::accept();
    CACHE
        .with(|cache| {
            if cache.generation != invalidation::generation() {
                cache.reload();
            }
            let user_context = cache.user_context;
            match cache.find(key) {
                Some(flag) => flag.decide(user, |user| read_context(user_context?, user)),
                None => Decision::FlagNotFound,
            }
        })
        .unwrap_or(Decision::FlagNotFound)
}

impl Memo {
    #[inline(always)]
    fn holds(&self, key: &[u8]) -> bool {
        self.length != 0 && self.key.get(..usize::from(self.length)) == Some(key)
    }
}

impl Cache {
    fn find(&mut self, key: &[u8]) -> Option<&Flag> {
        let memo = &mut self.memos[slot(key)];
        if !memo.holds(key) {
            let position = *self.index.get(key)?;
            memo.key.get_mut(..key.len())?.copy_from_slice(key);
            memo.length = key.len() as u8;
            memo.position = position;
        }
        self.flags.get(memo.position as usize)
    }

    /// Loads all flags. An error part-way leaves the old generation, so the next call loads again.
    #[cold]
    fn reload(&mut self) {
        self.memos = [NO_MEMO; MEMOS];
        let mut index = Index::default();
        let mut flags = Vec::new();
        let table =
            lookup::target_schema().and_then(|schema| lookup::table_in(schema, c"feature_flags"));
        invalidation::watch(table);
        // The scan below may miss a change that is announced from here on. Such a change raises the
        // generation, so the next evaluation loads again.
        let mut generation = invalidation::generation();
        let scan = table.and_then(|table| {
            TableScan::open_then(table, || generation = invalidation::generation())
        });
        if let Some(scan) = scan {
            memory::in_temporary_context(|| read_flags(scan, &mut index, &mut flags));
        }
        index.shrink_to_fit();
        flags.shrink_to_fit();
        self.user_context =
            lookup::schema(c"crewsnow_ops").and_then(|s| lookup::table_in(s, c"user_context"));
        self.index = index;
        self.flags = flags;
        self.generation = generation;
    }
}

fn read_flags(mut scan: TableScan, index: &mut Index, flags: &mut Vec<Flag>) {
    // A missing column, or one of another type, reads as NULL: a broken flag is off.
    let column = |name, type_| scan.column(name, type_).unwrap_or(0);
    let key = column(c"flag_key", pg_sys::TEXTOID);
    let is_enabled = column(c"is_enabled", pg_sys::BOOLOID);
    let percentage = column(c"rollout_percentage", pg_sys::INT4OID);
    let group = column(c"rollout_group", pg_sys::TEXTOID);
    let listed = column(c"target_user_ids", pg_sys::UUIDARRAYOID);
    let premium_only = column(c"target_premium_only", pg_sys::BOOLOID);
    let regions = column(c"target_regions", pg_sys::TEXTARRAYOID);
    let segments = column(c"target_segments", pg_sys::TEXTARRAYOID);
    while let Some(row) = scan.next() {
        let (Some(key), Some(group)) = (row.text(key), row.text(group)) else { continue };
        let targeting =
            row.boolean(premium_only).zip(row.text_array(regions)).zip(row.text_array(segments));
        let flag = Flag::new(
            row.boolean(is_enabled).unwrap_or(false) && targeting.is_some(),
            row.integer(percentage).unwrap_or(0),
            &group,
            row.uuid_array(listed).unwrap_or_default(),
            targeting.map_or_else(Targeting::default, |((premium_only, regions), segments)| {
                Targeting { premium_only, regions, segments }
            }),
        );
        let Ok(position) = u32::try_from(flags.len()) else { break };
        index.insert(key.into_boxed_slice(), position);
        flags.push(flag);
    }
}

/// The row of crewsnow_ops.user_context, under the snapshot of the running statement.
fn read_context(table: pg_sys::Oid, user: &UserId) -> Option<UserContext> {
    scan::read_by_uuid(table, c"user_id", user, |row| {
        let column = |name, type_| row.column(name, type_).unwrap_or(0);
        UserContext {
            premium: row.boolean(column(c"is_premium", pg_sys::BOOLOID)).unwrap_or(false),
            region: row.text(column(c"region", pg_sys::TEXTOID)),
            segments: row.text_array(column(c"segments", pg_sys::TEXTARRAYOID)).unwrap_or_default(),
        }
    })
}
