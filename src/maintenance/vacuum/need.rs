//! Whether a table needs VACUUM or ANALYZE, exactly as autovacuum decides
//! (`relation_needs_vacanalyze`): in single precision, and with its treatment of unset parameters.

/// The settings that apply to tables without storage parameters, and the ids of now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The next transaction id.
    pub next_xid: u32,
    /// The next multixact id.
    pub next_multixact: u32,
    /// `autovacuum_vacuum_threshold`
    pub vacuum_threshold: i32,
    /// `autovacuum_vacuum_scale_factor`
    pub vacuum_scale_factor: f64,
    /// `autovacuum_vacuum_max_threshold`, since 18; -1 for no limit.
    pub vacuum_max_threshold: i32,
    /// `autovacuum_vacuum_insert_threshold`; -1 switches it off.
    pub insert_threshold: i32,
    /// `autovacuum_vacuum_insert_scale_factor`
    pub insert_scale_factor: f64,
    /// `autovacuum_analyze_threshold`
    pub analyze_threshold: i32,
    /// `autovacuum_analyze_scale_factor`
    pub analyze_scale_factor: f64,
    /// `autovacuum_freeze_max_age`
    pub freeze_max_age: i32,
    /// `autovacuum_multixact_freeze_max_age`, or less where multixact members fill up.
    pub multixact_freeze_max_age: i32,
    /// `track_counts`: without it only ages count.
    pub counts_rows: bool,
}

/// Storage parameters of a table that change its thresholds; `None` if not set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// `autovacuum_enabled`
    pub is_enabled: bool,
    /// As in [`Limits`].
    pub vacuum_threshold: Option<i32>,
    /// As in [`Limits`].
    pub vacuum_scale_factor: Option<f64>,
    /// As in [`Limits`].
    pub vacuum_max_threshold: Option<i32>,
    /// As in [`Limits`].
    pub insert_threshold: Option<i32>,
    /// As in [`Limits`].
    pub insert_scale_factor: Option<f64>,
    /// As in [`Limits`].
    pub analyze_threshold: Option<i32>,
    /// As in [`Limits`].
    pub analyze_scale_factor: Option<f64>,
    /// As in [`Limits`]; the smaller value counts.
    pub freeze_max_age: Option<i32>,
    /// As in [`Limits`]; the smaller value counts.
    pub multixact_freeze_max_age: Option<i32>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            is_enabled: true,
            vacuum_threshold: None,
            vacuum_scale_factor: None,
            vacuum_max_threshold: None,
            insert_threshold: None,
            insert_scale_factor: None,
            analyze_threshold: None,
            analyze_scale_factor: None,
            freeze_max_age: None,
            multixact_freeze_max_age: None,
        }
    }
}

/// The facts about a table.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Facts {
    /// Its storage parameters.
    pub parameters: Parameters,
    /// `reltuples`; -1 if it was never vacuumed.
    pub reltuples: f32,
    /// The share of pages that are not all-frozen; 1 before PostgreSQL 18.
    pub unfrozen_share: f32,
    /// `relfrozenxid`
    pub frozen_xid: u32,
    /// `relminmxid`
    pub min_multixact: u32,
    /// Dead rows, rows inserted since the last vacuum, and rows changed since the last analyze;
    /// `None` without statistics.
    pub counts: Option<(i64, i64, i64)>,
    /// Whether ANALYZE never applies: a TOAST table, or pg_statistic.
    pub is_never_analyzed: bool,
}

/// The work that a table needs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Need {
    /// VACUUM.
    pub vacuum: bool,
    /// ANALYZE.
    pub analyze: bool,
    /// VACUUM because of the age of its rows, which autovacuum_enabled = off does not prevent.
    pub is_forced: bool,
    /// VACUUM because of dead rows.
    pub is_dead: bool,
    /// How far beyond its limit: 2 is twice as many dead rows, or an age twice the limit.
    pub urgency: f32,
}

impl Need {
    /// Whether there is anything to do.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.vacuum || self.analyze
    }
}

/// The first id that is not one of the server's own.
const FIRST_XID: u32 = 3;
const FIRST_MULTIXACT: u32 = 1;

/// Whether an id is older than `next` by more than `age`. Ids wrap around, and skip the first few.
fn is_older(id: u32, next: u32, age: i32, first: u32) -> bool {
    let mut limit = next.wrapping_sub(age.unsigned_abs());
    if limit < first {
        limit = limit.wrapping_sub(first);
    }
    (id.wrapping_sub(limit) as i32) < 0
}

/// The age of an id as a share of its limit.
fn relative_age(id: u32, next: u32, age: i32) -> f32 {
    next.wrapping_sub(id) as i32 as f32 / age.max(1) as f32
}

/// Whether a table needs work now.
#[must_use]
pub fn need(facts: &Facts, limits: &Limits) -> Need {
    let own = &facts.parameters;
    let smaller = |own: Option<i32>, limit: i32| own.map_or(limit, |own| own.min(limit));
    let freeze_max_age = smaller(own.freeze_max_age, limits.freeze_max_age);
    let multixact_age = smaller(own.multixact_freeze_max_age, limits.multixact_freeze_max_age);
    let xid_is_old = facts.frozen_xid >= FIRST_XID
        && is_older(facts.frozen_xid, limits.next_xid, freeze_max_age, FIRST_XID);
    let multixact_is_old = facts.min_multixact >= FIRST_MULTIXACT
        && is_older(facts.min_multixact, limits.next_multixact, multixact_age, FIRST_MULTIXACT);
    let is_forced = xid_is_old || multixact_is_old;
    if !own.is_enabled && !is_forced {
        return Need::default();
    }
    let mut need = Need { vacuum: is_forced, is_forced, ..Need::default() };
    if is_forced {
        need.urgency = relative_age(facts.frozen_xid, limits.next_xid, freeze_max_age)
            .max(relative_age(facts.min_multixact, limits.next_multixact, multixact_age));
    }
    let Some((dead, inserted, changed)) = facts.counts.filter(|_| limits.counts_rows) else {
        return need;
    };
    let rows = f64::from(facts.reltuples.max(0.0));
    let threshold =
        |base: i32, scale: f64, rows: f64| (f64::from(base as f32) + scale * rows) as f32;
    let mut vacuum_threshold = threshold(
        own.vacuum_threshold.unwrap_or(limits.vacuum_threshold),
        own.vacuum_scale_factor.unwrap_or(limits.vacuum_scale_factor),
        rows,
    );
    let max = own.vacuum_max_threshold.unwrap_or(limits.vacuum_max_threshold);
    if max >= 0 {
        vacuum_threshold = vacuum_threshold.min(max as f32);
    }
    let insert_base = own.insert_threshold.unwrap_or(limits.insert_threshold);
    let insert_threshold = threshold(
        insert_base,
        own.insert_scale_factor.unwrap_or(limits.insert_scale_factor),
        rows * f64::from(facts.unfrozen_share),
    );
    let analyze_threshold = threshold(
        own.analyze_threshold.unwrap_or(limits.analyze_threshold),
        own.analyze_scale_factor.unwrap_or(limits.analyze_scale_factor),
        rows,
    );
    let is_dead = dead as f32 > vacuum_threshold;
    let is_inserted = insert_base >= 0 && inserted as f32 > insert_threshold;
    need.is_dead = is_dead;
    need.vacuum |= is_dead || is_inserted;
    need.analyze = !facts.is_never_analyzed && changed as f32 > analyze_threshold;
    let share = |count: i64, threshold: f32| count as f32 / threshold.max(1.0);
    for (applies, count, threshold) in [
        (is_dead, dead, vacuum_threshold),
        (is_inserted, inserted, insert_threshold),
        (need.analyze, changed, analyze_threshold),
    ] {
        if applies {
            need.urgency = need.urgency.max(share(count, threshold));
        }
    }
    need
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        next_xid: 1_000_000_000,
        next_multixact: 10_000,
        vacuum_threshold: 50,
        vacuum_scale_factor: 0.2,
        vacuum_max_threshold: -1,
        insert_threshold: 1_000,
        insert_scale_factor: 0.2,
        analyze_threshold: 50,
        analyze_scale_factor: 0.1,
        freeze_max_age: 200_000_000,
        multixact_freeze_max_age: 400_000_000,
        counts_rows: true,
    };

    fn facts(counts: (i64, i64, i64)) -> Facts {
        Facts {
            reltuples: 1_000.0,
            unfrozen_share: 1.0,
            frozen_xid: 999_999_000,
            min_multixact: 1,
            counts: Some(counts),
            ..Facts::default()
        }
    }

    fn is_needed(facts: &Facts) -> (bool, bool) {
        let need = need(facts, &LIMITS);
        (need.vacuum, need.analyze)
    }

    #[test]
    fn a_count_must_exceed_its_threshold() {
        assert_eq!(is_needed(&facts((250, 0, 150))), (false, false));
        assert_eq!(is_needed(&facts((251, 0, 150))), (true, false));
        assert_eq!(is_needed(&facts((250, 0, 151))), (false, true));
        assert_eq!(is_needed(&facts((0, 1_200, 0))), (false, false));
        assert_eq!(is_needed(&facts((0, 1_201, 0))), (true, false));
    }

    #[test]
    fn a_table_that_was_never_vacuumed_counts_as_empty() {
        let never = Facts { reltuples: -1.0, ..facts((51, 0, 51)) };
        assert_eq!(is_needed(&never), (true, true));
    }

    #[test]
    fn a_disabled_table_is_vacuumed_for_its_age_alone() {
        let parameters = Parameters { is_enabled: false, ..Parameters::default() };
        let disabled = Facts { parameters, ..facts((10_000, 0, 10_000)) };
        assert_eq!(is_needed(&disabled), (false, false));
        let old = Facts { frozen_xid: 700_000_000, ..disabled };
        assert!(need(&old, &LIMITS).is_forced);
        // Autovacuum then also looks at the counts.
        assert_eq!(is_needed(&old), (true, true));
    }

    #[test]
    fn the_smaller_age_counts() {
        let of = |age| Facts {
            parameters: Parameters { freeze_max_age: Some(age), ..Parameters::default() },
            frozen_xid: 900_000_000,
            ..facts((0, 0, 0))
        };
        assert!(need(&of(99_999_999), &LIMITS).is_forced);
        assert!(!need(&of(100_000_000), &LIMITS).is_forced);
        let beyond = Facts { frozen_xid: 799_999_999, ..of(i32::MAX) };
        assert!(need(&beyond, &LIMITS).is_forced);
    }

    #[test]
    fn ids_wrap_around() {
        assert!(is_older(4_294_967_000, 200_000_000, 150_000_000, FIRST_XID));
        assert!(!is_older(4_294_967_000, 100_000_000, 150_000_000, FIRST_XID));
        assert!(!is_older(100, 90, 5, FIRST_XID), "an id of the future");
        // The limit falls on a reserved id, and moves below it.
        assert!(!is_older(u32::MAX, 7, 5, FIRST_XID));
    }

    #[test]
    fn inserts_are_switched_off_by_a_negative_threshold() {
        let parameters = Parameters { insert_threshold: Some(-1), ..Parameters::default() };
        assert_eq!(is_needed(&Facts { parameters, ..facts((0, 1 << 40, 0)) }), (false, false));
    }

    #[test]
    fn toast_tables_are_never_analyzed() {
        let toast = Facts { is_never_analyzed: true, ..facts((0, 0, 1_000)) };
        assert_eq!(is_needed(&toast), (false, false));
    }

    #[test]
    fn without_counts_only_ages_count() {
        let unknown = Facts { counts: None, ..facts((0, 0, 0)) };
        assert_eq!(is_needed(&unknown), (false, false));
        let limits = Limits { counts_rows: false, ..LIMITS };
        assert!(!need(&facts((10_000, 10_000, 10_000)), &limits).is_some());
    }
}
