//! Trigger functions on the tables of decisions.

use super::pure::alteration::Rules;
use super::pure::model::Gate;
use crate::error::raise;
use crate::pg::backend_local::BackendLocal;
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::trigger as glue;
use crate::pg::trail_erasure;
use crate::pg::xact::session;
use crate::readiness::error::ReadinessError;
use pgrx::JsonB;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByRust, PgTriggerOperation};

type Row<'a> = PgHeapTuple<'a, AllocatedByRust>;

glue::trigger_functions! {
    decisions_are_final:
        decisions_are_final_wrapper, pg_finfo_decisions_are_final_wrapper;
    seeded_rows_stay:
        seeded_rows_stay_wrapper, pg_finfo_seeded_rows_stay_wrapper;
}

const NOT_A_TRIGGER: ReadinessError =
    ReadinessError::Server(ServerError::NotATrigger("seeded_rows_stay"));
/// Columns that the trigger sets. A change of these alone is not a change of the row.
const BOOKKEEPING: [&str; 7] = [
    "seeded",
    "changed_at",
    "changed_by",
    "original",
    "changed_by_users",
    "approved_by",
    "approved_at",
];

/// Set while a restored row replaces a seeded one, so that the DELETE of the seeded row passes.
static DISPLACING: BackendLocal<bool> = BackendLocal::new(false);

/// Set while approve_criterion runs, so that its UPDATE may set the approval.
static APPROVING: BackendLocal<bool> = BackendLocal::new(false);

/// Clears [`APPROVING`], even if the UPDATE fails.
pub(super) struct ApprovingGuard;

impl ApprovingGuard {
    /// From here on, until the guard is dropped, an UPDATE of crewsnow_ops.criteria may set the
    /// approval.
    pub(super) fn begin() -> Self {
        APPROVING.with(|is_running| *is_running = true);
        Self
    }
}

impl Drop for ApprovingGuard {
    fn drop(&mut self) {
        APPROVING.with(|is_running| *is_running = false);
    }
}

/// Clears [`DISPLACING`], even if the DELETE fails.
struct DisplacingGuard;

impl Drop for DisplacingGuard {
    fn drop(&mut self) {
        DISPLACING.with(|is_running| *is_running = false);
    }
}

/// BEFORE UPDATE OR DELETE OR TRUNCATE on crewsnow_ops.decisions.
fn decisions_are_final<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ErrorReport> {
    let is_update = trigger.op().is_ok_and(|op| matches!(op, PgTriggerOperation::Update));
    if is_update && trail_erasure::is_running() {
        return Ok(None);
    }
    raise(Err(ReadinessError::DecisionsAreFinal))
}

/// BEFORE INSERT OR UPDATE OR DELETE on each table with seeded rows.
fn seeded_rows_stay<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ErrorReport> {
    Ok(raise(protect_seeded_rows(trigger)))
}

fn protect_seeded_rows<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ReadinessError> {
    let table = trigger.table_name()?;
    let (key, displace) = match table.as_str() {
        "criteria" => ("name", Some(include_str!("../../sql/readiness/displace_criterion.sql"))),
        "launch_plan" => ("flag_key", Some(include_str!("../../sql/readiness/displace_plan.sql"))),
        "checklist_items" => ("item", None),
        _ => return Err(NOT_A_TRIGGER),
    };
    match trigger.op()? {
        PgTriggerOperation::Insert => insert(trigger, key, displace),
        PgTriggerOperation::Update => update(trigger, &table, key, displace.is_some()),
        PgTriggerOperation::Delete => {
            let old = trigger.old().ok_or(NOT_A_TRIGGER)?.into_owned();
            let is_displaced = DISPLACING.with(|is_running| *is_running).unwrap_or(false);
            if old.get_by_name::<bool>("seeded")? == Some(true) && !is_displaced {
                return Err(built_in(&table, &old, key));
            }
            if table == "criteria" && !is_displaced && is_needed(&old)? {
                return Err(ReadinessError::StillNeeded(
                    old.get_by_name::<String>(key)?.unwrap_or_default(),
                ));
            }
            Ok(Some(old))
        }
        PgTriggerOperation::Truncate => Err(NOT_A_TRIGGER),
    }
}

fn built_in(table: &str, row: &Row<'_>, key: &str) -> ReadinessError {
    let key = row.get_by_name::<String>(key).ok().flatten().unwrap_or_default();
    ReadinessError::BuiltIn { table: table.to_owned(), key }
}

/// Restores a dump: a restored row replaces the seeded row of its key, if that is unchanged.
fn insert<'a>(
    trigger: &'a PgTrigger<'a>,
    key: &str,
    displace: Option<&'static str>,
) -> Result<Option<Row<'a>>, ReadinessError> {
    let mut row = trigger.new().ok_or(NOT_A_TRIGGER)?.into_owned();
    let Some(sql) = displace else {
        row.set_by_name("seeded", false)?;
        return Ok(Some(row));
    };
    // Only the owner restores, and a dump holds only changed rows. The INSERT … ON CONFLICT of
    // another role must not replace columns that it does not name.
    let is_restored = glue::is_owner(trigger)
        && row.get_by_name::<TimestampWithTimeZone>("changed_at")?.is_some();
    if !is_restored {
        row.set_by_name("seeded", false)?;
        stamp(&mut row)?;
        if trigger.table_name()? == "criteria" {
            forget_changes(&mut row)?;
        }
        return Ok(Some(row));
    }
    let key: Option<String> = row.get_by_name(key)?;
    DISPLACING.with(|is_running| *is_running = true);
    let _guard = DisplacingGuard;
    let displace = |client: &mut pgrx::spi::SpiClient<'_>| {
        Ok::<_, ReadinessError>(!client.update(sql, None, &[key.into()])?.is_empty())
    };
    let has_displaced = spi::connect_mut(displace)?;
    row.set_by_name("seeded", has_displaced)?;
    Ok(Some(row))
}

/// Stamps a changed row. Errors: 0A000 for a seeded row that would change its key or is fixed.
fn update<'a>(
    trigger: &'a PgTrigger<'a>,
    table: &str,
    key: &str,
    can_be_changed: bool,
) -> Result<Option<Row<'a>>, ReadinessError> {
    let old = trigger.old().ok_or(NOT_A_TRIGGER)?.into_owned();
    let mut new = trigger.new().ok_or(NOT_A_TRIGGER)?.into_owned();
    let seeded = old.get_by_name::<bool>("seeded")?.unwrap_or(false);
    let is_renamed = old.get_by_name::<String>(key)? != new.get_by_name::<String>(key)?;
    if seeded && (is_renamed || !can_be_changed) {
        return Err(built_in(table, &old, key));
    }
    new.set_by_name("seeded", seeded)?;
    let is_changed = can_be_changed && glue::update_changes_row(trigger, &BOOKKEEPING);
    if is_changed {
        stamp(&mut new)?;
    }
    if table == "criteria" {
        record_change(&old, &mut new, is_changed)?;
    }
    Ok(Some(new))
}

/// Keeps the original state of a criterion and the authors of its changes, whatever the UPDATE
/// says. A change needs a new approval, and a return to the original state needs none.
fn record_change(old: &Row<'_>, new: &mut Row<'_>, is_changed: bool) -> Result<(), ReadinessError> {
    let approver: Option<String> = old.get_by_name("approved_by")?;
    if !is_changed {
        new.set_by_name("original", old.get_by_name::<JsonB>("original")?)?;
        new.set_by_name("changed_by_users", texts(old, "changed_by_users")?)?;
        if !APPROVING.with(|is_running| *is_running).unwrap_or(false) {
            new.set_by_name("approved_by", approver)?;
            let at: Option<TimestampWithTimeZone> = old.get_by_name("approved_at")?;
            new.set_by_name("approved_at", at)?;
        }
        return Ok(());
    }
    let original = match old.get_by_name::<JsonB>("original")? {
        Some(original) => original,
        None => as_json(&rules(old)?),
    };
    if original.0 == as_json(&rules(new)?).0 {
        return forget_changes(new);
    }
    // Users whose changes an admin approved are authors no longer.
    let mut users = match approver {
        Some(_) => Vec::new(),
        None => texts(old, "changed_by_users")?,
    };
    if !users.contains(&session::user()) {
        users.push(session::user());
    }
    forget_changes(new)?;
    new.set_by_name("original", Some(original))?;
    new.set_by_name("changed_by_users", users)?;
    Ok(())
}

fn forget_changes(row: &mut Row<'_>) -> Result<(), ReadinessError> {
    row.set_by_name("original", None::<JsonB>)?;
    row.set_by_name("changed_by_users", Vec::<String>::new())?;
    row.set_by_name("approved_by", None::<String>)?;
    row.set_by_name("approved_at", None::<TimestampWithTimeZone>)?;
    Ok(())
}

/// The columns of a criterion that decide about verdicts.
fn rules(row: &Row<'_>) -> Result<Rules, ReadinessError> {
    let gate: Option<String> = row.get_by_name("gate")?;
    let fresh_for: Option<Interval> = row.get_by_name("fresh_for")?;
    Ok(Rules {
        name: row.get_by_name("name")?.unwrap_or_default(),
        gate: gate.and_then(|gate| Gate::parse(&gate)).unwrap_or(Gate::GoNoGo),
        weight: row.get_by_name("weight")?.unwrap_or(0),
        is_blocker: row.get_by_name("is_blocker")?.unwrap_or(true),
        measures: texts(row, "measures")?,
        fresh_for: fresh_for.map_or(0, |interval| interval.as_micros() as i64),
        is_enabled: row.get_by_name("is_enabled")?.unwrap_or(true),
    })
}

fn texts(row: &Row<'_>, column: &str) -> Result<Vec<String>, ReadinessError> {
    let array: Option<Array<'_, String>> = row.get_by_name(column)?;
    Ok(array.map(|array| array.iter().flatten().collect()).unwrap_or_default())
}

fn as_json(rules: &Rules) -> JsonB {
    JsonB(serde_json::to_value(rules).unwrap_or_default())
}

/// Whether removing the criterion would weaken a gate without a second user: a blocker, unless it
/// is switched off with approval.
fn is_needed(row: &Row<'_>) -> Result<bool, ReadinessError> {
    let rules = rules(row)?;
    let original = row.get_by_name::<JsonB>("original")?;
    let was_blocker = original
        .and_then(|JsonB(original)| serde_json::from_value::<Rules>(original).ok())
        .map_or(rules.is_blocker, |original| original.is_blocker);
    let is_approved = row.get_by_name::<String>("approved_by")?.is_some();
    Ok(was_blocker && (rules.is_enabled || !is_approved))
}

fn stamp(row: &mut Row<'_>) -> Result<(), ReadinessError> {
    if let Ok(now) = TimestampWithTimeZone::try_from(clock::now()) {
        row.set_by_name("changed_at", now)?;
    }
    row.set_by_name("changed_by", session::user())?;
    Ok(())
}
