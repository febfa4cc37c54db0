//! Counts of calls per function and minute. Pure.

use crate::telemetry::sketch::ddsketch::Sketch;
use crate::time::minute::minute_of;
use std::collections::{BTreeMap, HashMap};

/// A longer call counts as a time-out: 5 s.
pub const TIMEOUT_NANOSECONDS: u64 = 5_000_000_000;

/// One call: a row of event_log with a function name.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The function's name.
    pub function: &'a [u8],
    /// Time of the call, in microseconds since 2000.
    pub created_at: i64,
    /// Execution time; `None` if not measured.
    pub nanoseconds: Option<u64>,
    /// Whether its status code starts with 5.
    pub is_5xx: bool,
}

/// The calls of one function in one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Number of calls.
    pub calls: u64,
    /// Calls with a 5xx status.
    pub errors: u64,
    /// Calls longer than [`TIMEOUT_NANOSECONDS`].
    pub timeouts: u64,
    /// Time of the latest call, in microseconds since 2000.
    pub last_call: i64,
    /// Their execution times.
    pub latency: Sketch,
}

impl Default for Cell {
    fn default() -> Self {
        Self { calls: 0, errors: 0, timeouts: 0, last_call: i64::MIN, latency: Sketch::default() }
    }
}

impl Cell {
    /// Adds a call.
    pub fn add(&mut self, call: &Call<'_>) {
        self.calls += 1;
        self.errors += u64::from(call.is_5xx);
        self.last_call = self.last_call.max(call.created_at);
        if let Some(nanoseconds) = call.nanoseconds {
            self.timeouts += u64::from(nanoseconds > TIMEOUT_NANOSECONDS);
            self.latency.add(nanoseconds);
        }
    }
}

/// Functions by name, each with a value.
pub type Functions<T> = Vec<(Box<[u8]>, T)>;

/// A map from function names to values.
#[derive(Debug)]
pub struct ByFunction<T> {
    places: HashMap<Box<[u8]>, usize>,
    functions: Functions<T>,
    last: usize,
}

impl<T> Default for ByFunction<T> {
    fn default() -> Self {
        Self { places: HashMap::new(), functions: Vec::new(), last: 0 }
    }
}

impl<T: Default> ByFunction<T> {
    /// The value of a function, created if missing.
    pub fn of(&mut self, function: &[u8]) -> &mut T {
        // Rollups are ordered by minute and function, so the next function is the likely one.
        let next = if self.last + 1 < self.functions.len() { self.last + 1 } else { 0 };
        let is_next = self.functions.get(next).is_some_and(|(name, _)| **name == *function);
        let place = if is_next { Some(next) } else { self.places.get(function).copied() };
        let place = place.unwrap_or_else(|| {
            self.places.insert(function.into(), self.functions.len());
            self.functions.push((function.into(), T::default()));
            self.functions.len() - 1
        });
        self.last = place;
        &mut self.functions[place].1
    }

    /// All functions, sorted by name.
    pub fn into_sorted(self) -> Functions<T> {
        let mut all = self.functions;
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

/// Calls per function and minute.
#[derive(Debug, Default)]
pub struct Tally {
    functions: ByFunction<BTreeMap<i64, Cell>>,
}

impl Tally {
    /// Adds a call to its minute.
    pub fn add(&mut self, call: &Call<'_>) {
        self.functions.of(call.function).entry(minute_of(call.created_at)).or_default().add(call);
    }

    /// Function, minute and counts.
    pub fn into_cells(self) -> impl Iterator<Item = (Box<[u8]>, i64, Cell)> {
        self.functions.into_sorted().into_iter().flat_map(|(name, minutes)| {
            minutes.into_iter().map(move |(minute, cell)| (name.clone(), minute, cell))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::minute::MINUTE;

    #[test]
    fn by_function_and_minute() {
        let mut tally = Tally::default();
        let call = |function: &'static str, created_at, milliseconds: Option<u64>, is_5xx| Call {
            function: function.as_bytes(),
            created_at,
            nanoseconds: milliseconds.map(|ms| ms * 1_000_000),
            is_5xx,
        };
        tally.add(&call("b", MINUTE, Some(5_000), false));
        tally.add(&call("b", 2 * MINUTE - 1, Some(5_001), true));
        tally.add(&call("b", 2 * MINUTE, None, true));
        tally.add(&call("a", -1, Some(1), false));
        let cells: Vec<_> = tally.into_cells().collect();
        let shape = |(name, minute, cell): &(Box<[u8]>, i64, Cell)| {
            (
                name[0] as char,
                *minute,
                cell.calls,
                cell.errors,
                cell.timeouts,
                cell.last_call,
                cell.latency.head().count,
            )
        };
        assert_eq!(
            cells.iter().map(shape).collect::<Vec<_>>(),
            [
                ('a', -MINUTE, 1, 0, 0, -1, 1),
                ('b', MINUTE, 2, 1, 1, 2 * MINUTE - 1, 2),
                ('b', 2 * MINUTE, 1, 1, 0, 2 * MINUTE, 0),
            ]
        );
    }
}
