//! The tables that need work now, most urgent first.

use super::need::{Facts, Limits, Need, Parameters, need};
use crate::pg::catalog::autovacuum::{self, Options, Table};
use crate::pg::xact::session;

/// A table that needs work.
#[derive(Debug, Clone, Copy)]
pub struct Chosen {
    /// The table.
    pub table: Table,
    /// The work.
    pub need: Need,
}

/// A setting as a number; the server's default if the session does not have it.
fn number<T: std::str::FromStr>(name: &str, default: T) -> T {
    session::setting(name).and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The thresholds of now.
pub fn limits() -> Limits {
    let (next_xid, next_multixact, multixact_age) = autovacuum::next_ids();
    Limits {
        next_xid,
        next_multixact,
        vacuum_threshold: number("autovacuum_vacuum_threshold", 50),
        vacuum_scale_factor: number("autovacuum_vacuum_scale_factor", 0.2),
        vacuum_max_threshold: number("autovacuum_vacuum_max_threshold", -1),
        insert_threshold: number("autovacuum_vacuum_insert_threshold", 1_000),
        insert_scale_factor: number("autovacuum_vacuum_insert_scale_factor", 0.2),
        analyze_threshold: number("autovacuum_analyze_threshold", 50),
        analyze_scale_factor: number("autovacuum_analyze_scale_factor", 0.1),
        freeze_max_age: number("autovacuum_freeze_max_age", 200_000_000),
        multixact_freeze_max_age: multixact_age,
        counts_rows: session::setting("track_counts").is_some_and(|value| value == "on"),
    }
}

fn parameters(options: &Options) -> Parameters {
    let set = |value: i32| (value >= 0).then_some(value);
    let set_factor = |value: f64| (value >= 0.0).then_some(value);
    // -1 is a value of these: it switches the threshold off.
    let set_or_off = |value: i32| (value >= -1).then_some(value);
    Parameters {
        is_enabled: options.is_enabled,
        vacuum_threshold: set(options.vacuum_threshold),
        vacuum_scale_factor: set_factor(options.vacuum_scale_factor),
        vacuum_max_threshold: set_or_off(options.vacuum_max_threshold),
        insert_threshold: set_or_off(options.insert_threshold),
        insert_scale_factor: set_factor(options.insert_scale_factor),
        analyze_threshold: set(options.analyze_threshold),
        analyze_scale_factor: set_factor(options.analyze_scale_factor),
        freeze_max_age: set(options.freeze_max_age),
        multixact_freeze_max_age: set(options.multixact_freeze_max_age),
    }
}

/// The work that a table needs.
pub fn need_of(table: &Table, limits: &Limits) -> Need {
    let facts = Facts {
        parameters: table.options.as_ref().map(parameters).unwrap_or_default(),
        reltuples: table.reltuples,
        unfrozen_share: table.unfrozen_share,
        frozen_xid: table.frozen_xid,
        min_multixact: table.min_multixact,
        counts: table.counts.map(|counts| (counts.dead, counts.inserted, counts.changed)),
        is_never_analyzed: table.is_toast || table.is_statistic,
    };
    need(&facts, limits)
}

/// All tables that need work: those whose age forces it first, then VACUUM before ANALYZE alone,
/// each by how far they are beyond their limits.
pub fn choose(limits: &Limits) -> Vec<Chosen> {
    session::forget_statistics();
    let mut chosen = Vec::new();
    autovacuum::each(|table| {
        let need = need_of(table, limits);
        if need.is_some() {
            chosen.push(Chosen { table: *table, need });
        }
    });
    let key = |chosen: &Chosen| (chosen.need.is_forced, chosen.need.vacuum);
    chosen.sort_by(|a, b| key(b).cmp(&key(a)).then(b.need.urgency.total_cmp(&a.need.urgency)));
    chosen
}

/// The table as it is now, if it still needs work: autovacuum looks again, too.
pub fn look_again(chosen: &Chosen, limits: &Limits) -> Option<Chosen> {
    session::forget_statistics();
    let table = autovacuum::table(&chosen.table)?;
    let need = need_of(&table, limits);
    need.is_some().then_some(Chosen { table, need })
}
