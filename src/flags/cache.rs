//! The flags in backend memory. They are loaded once and again only after a change; an evaluation
//! costs the same with ten flags and with ten thousand.

use super::bucket::UserId;
use super::model::{Context, Decision, Flag, MAX_KEY_LENGTH, Targeting, User, UserContext};
use super::recorded;
use crate::pg::access::scan;
use crate::pg::access::scan::{Attempt, TableScan};
use crate::pg::backend_local::BackendLocal;
use crate::pg::catalog::{invalidation, lookup};
use crate::pg::{clock, memory};
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
    let cache = CACHE.borrow()?;
    let memo = cache.memos.get(slot(key))?;
    if cache.generation != invalidation::generation() || !memo.holds(key) {
        return None;
    }
    cache.flags.get(memo.position as usize)?.decide_without_context(user)
}

/// The slot of a key: length, first and last character tell most keys apart.
#[inline(always)]
fn slot(key: &[u8]) -> usize {
    let (first, last) = (key.first().copied().unwrap_or(0), key.last().copied().unwrap_or(0));
    (key.len() + usize::from(first) * 3 + usize::from(last) * 5) % MEMOS
}

/// Evaluates the flag `key` with all changes committed until now, in every isolation level.
pub fn decide<U: User>(key: &[u8], user: Option<&U>) -> Decision {
    invalidation::accept();
    CACHE
        .with(|cache| {
            cache.refresh();
            let user_context = cache.user_context;
            match cache.find(key) {
                Some(flag) => flag.decide(user, |user| read_context(user_context, user)),
                None => Decision::FlagNotFound,
            }
        })
        .unwrap_or(Decision::FlagNotFound)
}

/// Evaluates every flag. The user's row is read at most once.
pub fn decide_all<U: User>(user: Option<&U>) -> Vec<(Vec<u8>, Decision)> {
    invalidation::accept();
    CACHE
        .with(|cache| {
            cache.refresh();
            let user_context = cache.user_context;
            let mut known: Option<Context> = None;
            let mut decisions = Vec::with_capacity(cache.flags.len());
            for (key, position) in &cache.index {
                let Some(flag) = cache.flags.get(*position as usize) else { continue };
                let decision = flag.decide(user, |user| {
                    known.get_or_insert_with(|| read_context(user_context, user)).clone()
                });
                decisions.push((key.to_vec(), decision));
            }
            decisions.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            decisions
        })
        .unwrap_or_default()
}

impl Memo {
    #[inline(always)]
    fn holds(&self, key: &[u8]) -> bool {
        self.length != 0 && self.key.get(..usize::from(self.length)) == Some(key)
    }
}

impl Cache {
    fn refresh(&mut self) {
        if self.generation != invalidation::generation() {
            self.reload();
        }
    }

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
        let attempt = table.map_or(Attempt::Missing, |table| {
            let locked = || generation = invalidation::generation();
            TableScan::try_open_then(table, FLAGS_PATIENCE_MS, locked)
        });
        memory::in_temporary_context(|| match attempt {
            Attempt::Opened(scan) => read_flags(scan, &mut index, &mut flags),
            Attempt::Missing => {}
            // While another session holds the lock, no flag can change but by that session.
            Attempt::Locked => {
                invalidation::accept();
                generation = invalidation::generation();
                for (key, flag) in recorded::flags() {
                    insert(&mut index, &mut flags, key, flag);
                }
            }
        });
        index.shrink_to_fit();
        flags.shrink_to_fit();
        self.user_context =
            lookup::schema(c"crewsnow_ops").and_then(|s| lookup::table_in(s, c"user_context"));
        self.index = index;
        self.flags = flags;
        self.generation = generation;
    }
}

/// How long a load waits for feature_flags. Then it takes the flags from their history.
const FLAGS_PATIENCE_MS: i64 = 20;

/// How long an evaluation waits for crewsnow_ops.user_context. Then a targeted flag is off.
const CONTEXT_PATIENCE_MS: i64 = 2_000;

/// After an evaluation has given up, others do not wait again for this time, in microseconds.
const IMPATIENCE: i64 = 10_000_000;

/// The time until which evaluations do not wait.
static IMPATIENT_UNTIL: BackendLocal<i64> = BackendLocal::new(0);

fn insert(index: &mut Index, flags: &mut Vec<Flag>, key: Vec<u8>, flag: Flag) {
    if let Ok(position) = u32::try_from(flags.len()) {
        index.insert(key.into_boxed_slice(), position);
        flags.push(flag);
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
        // Only '{}' is no condition: a list of NULLs has no members and admits nobody.
        let list = |column| {
            let is_empty = row.is_empty_array(column)?;
            Some(if is_empty { None } else { Some(row.text_array(column)?) })
        };
        let targeting = row.boolean(premium_only).zip(list(regions)).zip(list(segments));
        let flag = Flag::new(
            row.boolean(is_enabled).unwrap_or(false) && targeting.is_some(),
            row.integer(percentage).unwrap_or(0),
            &group,
            row.uuid_array(listed).unwrap_or_default(),
            targeting.map_or_else(Targeting::default, |((premium_only, regions), segments)| {
                Targeting { premium_only, regions, segments }
            }),
        );
        insert(index, flags, key, flag);
    }
}

/// The row of crewsnow_ops.user_context, under the snapshot of the running statement.
fn read_context(table: Option<pg_sys::Oid>, user: &UserId) -> Context {
    let Some(table) = table else { return Context::Unknown };
    let is_impatient = IMPATIENT_UNTIL.with(|until| *until).is_some_and(|t| t > clock::now());
    let patience = if is_impatient { 0 } else { CONTEXT_PATIENCE_MS };
    let attempt = scan::read_by_uuid(table, c"user_id", user, patience, |row| {
        let column = |name, type_| row.column(name, type_).unwrap_or(0);
        UserContext {
            premium: row.boolean(column(c"is_premium", pg_sys::BOOLOID)).unwrap_or(false),
            region: row.text(column(c"region", pg_sys::TEXTOID)),
            segments: row.text_array(column(c"segments", pg_sys::TEXTARRAYOID)).unwrap_or_default(),
        }
    });
    match attempt {
        Attempt::Opened(context) => Context::Known(context),
        Attempt::Missing => Context::Unknown,
        Attempt::Locked => {
            IMPATIENT_UNTIL.with(|until| *until = clock::now() + IMPATIENCE);
            Context::Locked
        }
    }
}
