//! Goes through one table in batches, each a transaction of the worker, with pauses between them.

use super::policy::{Action, Policy};
use super::target::Leaf;
use crate::maintenance::answer::{answer, ask};
use crate::maintenance::context::Context;
use crate::maintenance::tasks::{GONE, LOCKED};
use crate::pg::worker::Outcome;
use pgrx::spi::quote_literal;
use serde_json::Value;
use std::time::{Duration, Instant};

/// The pause after a batch, as a share of its duration: other sessions use it.
const PAUSE_SHARE: f64 = 0.1;
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_millis(200);
/// The wait for locked rows, before the batch is tried again without them.
const PATIENCE: &str = "50ms";
/// The most blocks of one batch: 64 MB.
const MAX_BLOCKS: i64 = 8_192;
/// Attempts of a batch that others disturb.
const ATTEMPTS: u32 = 4;
/// SQLSTATEs of a batch that may succeed the next time: a deadlock, a conflict, and a row that
/// began to refer to an expired one meanwhile.
const TRANSIENT: [&str; 3] = ["40P01", "40001", "23503"];

/// The end of a sweep through one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Each expired row was seen.
    Done,
    /// The cap of the policy was reached.
    Capped,
    /// The time of the run was over.
    OverTime,
    /// Another session had the table locked.
    Locked,
    /// Each expired row was seen, and a trigger kept some.
    Kept,
    /// The table was dropped meanwhile.
    Gone,
    /// The policy was removed or switched off meanwhile.
    Ended,
    /// A batch failed, and was undone.
    Failed(String),
    /// The worker was ended.
    Lost,
}

/// A policy while it is applied.
pub struct Sweep<'a> {
    policy: &'a Policy,
    step: usize,
    changed: i64,
    batches: i64,
    /// Whether rows were locked by other sessions, and left.
    pub skips_locked: bool,
    /// Whether a trigger kept rows.
    pub has_kept: bool,
    /// Whether the cap was reached.
    pub is_capped: bool,
}

/// The place of the next batch.
enum Place {
    Time(Option<String>),
    Block { from: i64, blocks: i64 },
}

impl<'a> Sweep<'a> {
    /// A policy that has changed nothing yet, with the number of its step.
    pub fn new(policy: &'a Policy, step: usize) -> Self {
        Self {
            policy,
            step,
            changed: 0,
            batches: 0,
            skips_locked: false,
            has_kept: false,
            is_capped: false,
        }
    }

    /// The effect so far; `None` if nothing was changed.
    pub fn summary(&self) -> Option<String> {
        let done = match self.policy.action {
            Action::Anonymise => "anonymised",
            _ => "deleted",
        };
        if self.changed == 0 {
            return None;
        }
        let cap = if self.is_capped { ", as many as max_rows allows" } else { "" };
        let rows = if self.changed == 1 { "row" } else { "rows" };
        let batches = if self.batches == 1 { "batch" } else { "batches" };
        Some(format!("{} {rows} {done} in {} {batches}{cap}", self.changed, self.batches))
    }

    fn room(&self) -> i64 {
        self.policy.max_rows.map_or(i64::MAX, |cap| cap - self.changed).min(self.policy.batch_rows)
    }

    /// Changes the expired rows of one table.
    pub fn leaf(&mut self, context: &mut Context, leaf: &Leaf) -> End {
        let mut place = if leaf.has_index {
            Place::Time(None)
        } else {
            let blocks = (self.policy.batch_rows / leaf.rows_of_block).clamp(1, MAX_BLOCKS);
            Place::Block { from: 0, blocks }
        };
        let (mut skips_locked, mut has_kept, mut attempts) = (false, false, 0);
        let end = |has_kept| if has_kept { End::Kept } else { End::Done };
        loop {
            pgrx::check_for_interrupts!();
            if self.room() <= 0 {
                self.is_capped = true;
                return End::Capped;
            }
            if context.is_over() {
                return End::OverTime;
            }
            if matches!(&place, Place::Block { from, .. } if *from >= leaf.blocks) {
                return end(has_kept);
            }
            let began = Instant::now();
            // The end of the step is written durably, and so are all commits before it.
            let mut settings = vec![("synchronous_commit".to_owned(), "off".to_owned())];
            if !skips_locked {
                settings.push(("lock_timeout".to_owned(), PATIENCE.to_owned()));
            }
            let query = self.query(context, leaf, &place, skips_locked);
            let outcome = ask(context, &query, settings);
            let warnings = match outcome {
                None => return End::Lost,
                Some(Outcome::TimedOut) => return End::OverTime,
                Some(Outcome::Done(warnings)) => warnings,
                Some(Outcome::Failed { sqlstate, message }) => {
                    attempts += 1;
                    match sqlstate.as_str() {
                        LOCKED if skips_locked => return End::Locked,
                        LOCKED => skips_locked = true,
                        state if GONE.contains(&state) => return End::Gone,
                        state if TRANSIENT.contains(&state) && attempts < ATTEMPTS => {
                            std::thread::sleep(MAX_PAUSE);
                        }
                        _ => return End::Failed(message),
                    }
                    continue;
                }
            };
            attempts = 0;
            let Some(row) = answer(&warnings) else {
                return End::Ended;
            };
            let number = |name: &str| row.get(name).and_then(Value::as_i64).unwrap_or_default();
            let (picked, changed) = (number("picked"), number("changed"));
            self.skips_locked |= skips_locked;
            self.changed += changed;
            self.batches += i64::from(changed > 0);
            has_kept |= number("kept") > 0;
            self.has_kept |= has_kept;
            let is_complete = row.get("is_complete").and_then(Value::as_bool).unwrap_or(false);
            match &mut place {
                Place::Time(_) if is_complete => return end(has_kept),
                Place::Time(after) => {
                    let last = row.get("last").and_then(Value::as_str).map(str::to_owned);
                    if changed == 0 && last == *after {
                        // A trigger keeps more rows of one time than a batch holds.
                        return end(has_kept);
                    }
                    *after = last;
                }
                // The same blocks again: they may hold more.
                Place::Block { blocks, .. } if !is_complete && (changed > 0 || *blocks > 1) => {
                    *blocks = (*blocks / 2).max(1);
                }
                Place::Block { from, blocks } => {
                    *from += *blocks;
                    if picked < self.policy.batch_rows / 4 {
                        *blocks = (*blocks * 2).min(MAX_BLOCKS);
                    }
                }
            }
            if changed > 0 {
                std::thread::sleep(began.elapsed().mul_f64(PAUSE_SHARE).min(MAX_PAUSE));
            }
        }
    }

    fn query(&self, context: &Context, leaf: &Leaf, place: &Place, skips_locked: bool) -> String {
        let (after, block, blocks) = match place {
            Place::Time(after) => {
                let after = after.as_ref().map_or("NULL".to_owned(), quote_literal);
                (after, "NULL".to_owned(), "NULL".to_owned())
            }
            Place::Block { from, blocks } => {
                ("NULL".to_owned(), from.to_string(), blocks.to_string())
            }
        };
        format!(
            "SELECT pg_catalog.row_to_json(r)::text FROM crewsnow_ops.apply_retention_batch('{}', \
             {}, {}, {after}, {block}, {blocks}, {skips_locked}) AS r",
            context.run().id,
            self.step,
            leaf.table.to_u32()
        )
    }
}
