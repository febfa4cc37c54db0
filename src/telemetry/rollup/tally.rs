//! Counts of calls per function and minute. Pure.

use crate::telemetry::sketch::ddsketch::Sketch;
use crate::telemetry::sketch::encoding::InvalidSketch;
use crate::time::minute::{HOUR, minute_of};
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
    /// Whether it has a usable status code.
    pub has_status: bool,
}

/// The calls of one function in one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Number of calls.
    pub calls: u64,
    /// Calls with a 5xx status.
    pub errors: u64,
    /// Calls without a usable status code.
    pub without_status: u64,
    /// Calls longer than [`TIMEOUT_NANOSECONDS`].
    pub timeouts: u64,
    /// Time of the latest call, in microseconds since 2000.
    pub last_call: i64,
    /// Their execution times.
    pub latency: Sketch,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            calls: 0,
            errors: 0,
            without_status: 0,
            timeouts: 0,
            last_call: i64::MIN,
            latency: Sketch::default(),
        }
    }
}

impl Cell {
    /// Adds the calls of another function.
    pub fn merge(&mut self, other: &Self) -> Result<(), InvalidSketch> {
        self.calls += other.calls;
        self.errors += other.errors;
        self.without_status += other.without_status;
        self.timeouts += other.timeouts;
        self.last_call = self.last_call.max(other.last_call);
        self.latency.merge(&other.latency)
    }

    /// Adds a call.
    pub fn add(&mut self, call: &Call<'_>) {
        self.calls += 1;
        self.errors += u64::from(call.is_5xx);
        self.without_status += u64::from(!call.has_status);
        self.last_call = self.last_call.max(call.created_at);
        if let Some(nanoseconds) = call.nanoseconds {
            self.timeouts += u64::from(nanoseconds > TIMEOUT_NANOSECONDS);
            self.latency.add(nanoseconds);
        }
    }
}

/// Functions by name, each with a value.
pub type Functions<T> = Vec<(Box<[u8]>, T)>;

/// As many function names are told apart in an hour. A service that puts ids into names must not
/// fill the memory of those who count.
pub const MAX_NAMES_PER_HOUR: usize = 10_000;
/// The name that counts the calls of all others.
pub const OTHER: &[u8] = b"(other)";

/// A value of a function, and the hours in which the function was called.
#[derive(Debug, Default)]
struct Entry<T> {
    name: Box<[u8]>,
    hours: Vec<i64>,
    value: T,
}

/// A map from function names to values, with at most [`MAX_NAMES_PER_HOUR`] names in each hour and
/// [`OTHER`].
#[derive(Debug)]
pub struct ByFunction<T> {
    places: HashMap<Box<[u8]>, usize>,
    functions: Vec<Entry<T>>,
    names_per_hour: BTreeMap<i64, usize>,
    last: usize,
}

impl<T> Default for ByFunction<T> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            functions: Vec::new(),
            names_per_hour: BTreeMap::new(),
            last: 0,
        }
    }
}

impl<T: Default> ByFunction<T> {
    /// The value of a function for a call in this minute, created if missing. Beyond the limit of
    /// names it is that of [`OTHER`].
    pub fn of(&mut self, function: &[u8], minute: i64) -> &mut T {
        // Rollups are ordered by minute and function, so the next function is the likely one.
        let next = if self.last + 1 < self.functions.len() { self.last + 1 } else { 0 };
        let is_next = self.functions.get(next).is_some_and(|entry| *entry.name == *function);
        let found = if is_next { Some(next) } else { self.places.get(function).copied() };
        let hour = minute.div_euclid(HOUR);
        let is_known = |place: usize| self.functions[place].hours.iter().rev().any(|h| *h == hour);
        let place = match found {
            Some(place) if is_known(place) => place,
            _ => {
                let names = self.names_per_hour.entry(hour).or_default();
                if *names >= MAX_NAMES_PER_HOUR && function != OTHER {
                    return self.of(OTHER, minute);
                }
                *names += usize::from(function != OTHER);
                let place = found.unwrap_or_else(|| {
                    self.places.insert(function.into(), self.functions.len());
                    self.functions.push(Entry { name: function.into(), ..Entry::default() });
                    self.functions.len() - 1
                });
                self.functions[place].hours.push(hour);
                place
            }
        };
        self.last = place;
        &mut self.functions[place].value
    }

    /// All functions, sorted by name.
    pub fn into_sorted(self) -> Functions<T> {
        let mut all: Functions<T> =
            self.functions.into_iter().map(|entry| (entry.name, entry.value)).collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

/// Calls per function and minute.
#[derive(Debug, Default)]
pub struct Tally {
    functions: ByFunction<Minutes>,
    cells: usize,
}

/// The minutes of a function, ascending. Most calls are in its last minute, and most functions of a
/// tally have few minutes: a tree would take ten times the memory.
type Minutes = Vec<(i64, Cell)>;

impl Tally {
    /// Adds a call to its minute.
    pub fn add(&mut self, call: &Call<'_>) {
        let minute = minute_of(call.created_at);
        let minutes = self.functions.of(call.function, minute);
        let place = match minutes.last() {
            Some((last, _)) if *last == minute => Ok(minutes.len() - 1),
            Some((last, _)) if *last < minute => Err(minutes.len()),
            _ => minutes.binary_search_by_key(&minute, |(minute, _)| *minute),
        };
        let place = place.unwrap_or_else(|place| {
            if minutes.is_empty() {
                minutes.reserve_exact(1);
            }
            minutes.insert(place, (minute, Cell::default()));
            self.cells += 1;
            place
        });
        minutes[place].1.add(call);
    }

    /// Number of functions and minutes with calls.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.cells
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
    fn names_beyond_the_limit_of_an_hour_count_as_other() {
        let mut tally = Tally::default();
        let mut add = |name: &str, created_at| {
            let function = name.as_bytes();
            tally.add(&Call {
                function,
                created_at,
                nanoseconds: None,
                is_5xx: false,
                has_status: true,
            });
        };
        for n in 0..MAX_NAMES_PER_HOUR + 500 {
            add(&n.to_string(), 0);
        }
        add("0", HOUR - 1);
        add("late", HOUR - 1);
        add("late", HOUR);
        let cells: Vec<_> = tally.into_cells().collect();
        let of = |name: &[u8]| -> Vec<(i64, u64)> {
            let own = cells.iter().filter(|(function, _, _)| **function == *name);
            own.map(|(_, minute, cell)| (*minute, cell.calls)).collect()
        };
        assert_eq!(of(OTHER), [(0, 500), (HOUR - MINUTE, 1)]);
        assert_eq!(of(b"0"), [(0, 1), (HOUR - MINUTE, 1)], "a known name stays known");
        assert_eq!(of(b"late"), [(HOUR, 1)], "the next hour has names of its own");
        assert_eq!(cells.len(), MAX_NAMES_PER_HOUR + 4);
    }

    #[test]
    fn by_function_and_minute() {
        let mut tally = Tally::default();
        let call = |function: &'static str, created_at, milliseconds: Option<u64>, is_5xx| Call {
            function: function.as_bytes(),
            created_at,
            nanoseconds: milliseconds.map(|ms| ms * 1_000_000),
            is_5xx,
            has_status: is_5xx,
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
