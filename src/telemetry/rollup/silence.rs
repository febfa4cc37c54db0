//! Silence: how long is too long, judged by the same clock time of earlier days. Pure.
//!
//! A silence of some minutes is compared with the webhooks that the same minutes of earlier days
//! brought. If even the lower quartile of the days had many, then none at all is no accident. The
//! limits were found by simulation; `tests` holds it.

use crate::time::minute::{DAY, HOUR, MINUTE};

/// Shorter silence is never told.
pub const LEAST_SILENCE: i64 = 5 * MINUTE;
/// Days that are compared.
const DAYS: i64 = 21;
/// With fewer days of history, the usual gap decides.
const LEAST_DAYS: usize = 7;
/// The period before now in which webhooks are counted. It is longer than the compared days, so
/// that a silence of days does not end by lasting.
pub const HISTORY: i64 = (DAYS + 9) * DAY;
/// Webhooks of one minute count up to this: a batch is one event of its sender.
const MOST_PER_MINUTE: u64 = 2;
/// The lower quartile of the days must have brought as many: of 9 that arrive independently, none
/// arrives once in 8,000 times.
const EXPECTED: f64 = 9.0;
/// Gaps of earlier days are looked for this far on either side of the same clock time.
const AROUND: i64 = HOUR;

/// The usual gap must be exceeded this many times, where there are too few days.
const GAPS: i64 = 3;
/// The usual gap is taken from this period before the last webhook.
const TRAILING: i64 = 4 * HOUR;
/// Traffic that lasted for less may have been a trial.
const TRIAL: i64 = HOUR;
/// With fewer minutes with webhooks, no usual gap is known.
const LEAST_ACTIVE_MINUTES: usize = 20;

/// Minutes with webhooks, and their numbers, in ascending order.
pub type Counts = [(i64, u64)];

/// A silence that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Time since the last webhook, in microseconds.
    pub lasted: i64,
    /// The longest gap that is usual at this time, in microseconds.
    pub usual: i64,
}

/// The lower quartile, interpolated; 0 without numbers.
#[must_use]
pub fn lower_quartile(numbers: &mut [u64]) -> f64 {
    numbers.sort_unstable();
    let Some(last) = numbers.len().checked_sub(1) else { return 0.0 };
    let place = last as f64 * 0.25;
    let below = numbers[place as usize] as f64;
    let above = numbers[(place as usize + 1).min(last)] as f64;
    below + (above - below) * place.fract()
}

/// Whether a silence is too long, where the same time of earlier days brought these numbers.
#[must_use]
pub fn is_too_long(lasted: i64, days: &mut [u64]) -> bool {
    lasted > LEAST_SILENCE && lower_quartile(days) >= EXPECTED
}

/// The silence at `now`, if it is too long. `counts` holds no later minute.
#[must_use]
pub fn silence(counts: &Counts, now: i64) -> Option<Silence> {
    let (first, last) = (counts.first()?.0, counts.last()?.0);
    let lasted = now - last;
    if lasted <= LEAST_SILENCE || counts.len() < LEAST_ACTIVE_MINUTES {
        return None;
    }
    // Whole days of silence are left out: the compared days end before the last webhook.
    let silent_days = lasted / DAY;
    let span = lasted.min(DAY);
    let ends = (1 + silent_days..=DAYS + silent_days).map(|day| now - day * DAY);
    let ends: Vec<i64> = ends.filter(|end| end - span >= first).collect();
    if ends.len() < LEAST_DAYS {
        return young(counts, now);
    }
    let mut brought: Vec<u64> = ends.iter().map(|end| number(counts, end - span, *end)).collect();
    if !is_too_long(lasted, &mut brought) {
        return None;
    }
    // Irregular senders have longer gaps than their number tells. A gap on one day in ten is an
    // outage of that day and not usual.
    let mut gaps: Vec<i64> =
        ends.iter().map(|end| longest_gap(counts, end - AROUND, end + AROUND)).collect();
    gaps.sort_unstable();
    let usual = gaps[gaps.len() - 1 - gaps.len() / 8];
    (lasted > usual).then_some(Silence { lasted, usual })
}

/// The silence in the first days, before there are days to compare.
fn young(counts: &Counts, now: i64) -> Option<Silence> {
    let (first, last) = (counts.first()?.0, counts.last()?.0);
    let lasted = now - last;
    // A trial has no usual gap, whatever its number of webhooks.
    if last - first < TRIAL && lasted > last - first {
        return None;
    }
    let trailing = longest_gap(counts, last - TRAILING, last);
    let mut at_this_time: Vec<i64> = (1..=LEAST_DAYS as i64)
        .map(|day| now - day * DAY)
        .filter(|end| *end > first)
        .map(|end| longest_gap(counts, end - AROUND, end + AROUND))
        .collect();
    at_this_time.sort_unstable();
    let median = at_this_time.get(at_this_time.len() / 2).copied().unwrap_or(0);
    let usual = trailing.max(median);
    (lasted > GAPS * usual).then_some(Silence { lasted, usual })
}

/// The webhooks after `from` and up to `to`, each minute with at most [`MOST_PER_MINUTE`].
fn number(counts: &Counts, from: i64, to: i64) -> u64 {
    let first = counts.partition_point(|(minute, _)| *minute <= from);
    let end = counts.partition_point(|(minute, _)| *minute <= to);
    counts[first..end].iter().map(|(_, number)| (*number).min(MOST_PER_MINUTE)).sum()
}

/// The longest time between two successive minutes with webhooks that overlaps a period; 0 without
/// two.
fn longest_gap(counts: &Counts, from: i64, to: i64) -> i64 {
    let first = counts.partition_point(|(minute, _)| *minute < from).saturating_sub(1);
    let end = (counts.partition_point(|(minute, _)| *minute <= to) + 1).min(counts.len());
    counts[first..end].windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
