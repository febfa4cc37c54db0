//! Definition of rules: the trigger on crewsnow_ops.alert_rules, and create_alert_rule.

use super::error::AlertError;
use super::evaluation::evaluate;
use super::pure::reading::Reading;
use super::pure::rule::Severity;
use super::query_check::check;
use super::rule;
use crate::access::as_owner;
use crate::error::raise;
use crate::pg::backend_local::BackendLocal;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::clock;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::trigger as glue;
use crate::pg::trail_erasure;
use crate::pg::xact::sec_context::{current_role, current_user};
use crate::pg::xact::{session, snapshot};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AllocatedByRust, PgTriggerOperation};

type Row<'a> = PgHeapTuple<'a, AllocatedByRust>;

glue::trigger_functions! {
    alert_event_is_append_only:
        alert_event_is_append_only_wrapper, pg_finfo_alert_event_is_append_only_wrapper;
    alert_rule_is_valid: alert_rule_is_valid_wrapper, pg_finfo_alert_rule_is_valid_wrapper;
}

const NOT_A_TRIGGER: AlertError =
    AlertError::Server(ServerError::NotATrigger("alert_rule_is_valid"));
const EXAMPLE: &str = "SELECT crewsnow_ops.create_alert_rule('jobs-waiting', $$ SELECT queue, \
    count(*), 'jobs wait' FROM public.job GROUP BY queue $$, p_critical => 100);";
/// Whether the settings of a built-in rule are taken from a dump.
static IS_RESTORING: BackendLocal<bool> = BackendLocal::new(false);

struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        IS_RESTORING.with(|is| *is = false);
    }
}

/// Columns of a built-in rule that do not change.
const FIXED: [&str; 6] =
    ["name", "query", "description", "fires_when", "is_built_in", "min_samples"];

/// Columns on which the check of a rule depends.
const CHECKED: [&str; 3] = ["query", "min_samples", "defined_by"];

/// BEFORE UPDATE OR DELETE OR TRUNCATE on crewsnow_ops.alert_events, for each statement.
fn alert_event_is_append_only<'a>(_: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ErrorReport> {
    if trail_erasure::is_running() { Ok(None) } else { Err(AlertError::AppendOnly.into()) }
}

/// BEFORE INSERT OR UPDATE OR DELETE on crewsnow_ops.alert_rules.
fn alert_rule_is_valid<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, ErrorReport> {
    Ok(raise(validate(trigger)))
}

fn validate<'a>(trigger: &'a PgTrigger<'a>) -> Result<Option<Row<'a>>, AlertError> {
    let operation = trigger.op()?;
    if matches!(operation, PgTriggerOperation::Delete) {
        let old = trigger.old().ok_or(NOT_A_TRIGGER)?.into_owned();
        refuse_built_in(&old, "the removal")?;
        return Ok(Some(old));
    }
    let mut row = trigger.new().ok_or(NOT_A_TRIGGER)?.into_owned();
    let is_update = matches!(operation, PgTriggerOperation::Update);
    // An erasure replaces a person in the texts. A restored dump brings its own times.
    if is_update && (trail_erasure::is_running() || IS_RESTORING.with(|is| *is) == Some(true)) {
        return Ok(Some(row));
    }
    let name = row.get_by_name::<String>("name")?.unwrap_or_default();
    if !is_update && !lookup::is_creating_extension() {
        // A restored dump: the row of a built-in rule takes the place of the shipped one.
        if as_owner(|| rule::read(Some(&name)))?.iter().any(|rule| rule.is_built_in) {
            as_owner(|| take_settings(trigger, row))?;
            return Ok(None);
        }
        row.set_by_name("is_built_in", false)?;
    }
    let old = trigger.old();
    let was_built_in = match &old {
        Some(old) if is_update => old.get_by_name::<bool>("is_built_in")?.unwrap_or(false),
        _ => false,
    };
    let is_built_in = row.get_by_name::<bool>("is_built_in")?.unwrap_or(false);
    if was_built_in {
        if glue::update_changes_columns(trigger, &FIXED) {
            return Err(AlertError::BuiltIn { rule: name, change: "a change of name or query" });
        }
    } else if is_built_in && !lookup::is_creating_extension() {
        row.set_by_name("is_built_in", false)?;
    }
    if !was_built_in && !is_built_in {
        // A rule whose table is gone can still be changed, or disabled.
        let is_same = is_update && !glue::update_changes_columns(trigger, &CHECKED);
        let author = author(trigger, &mut row, is_update)?;
        let query = row.get_by_name::<String>("query")?.unwrap_or_default();
        let min_samples = row.get_by_name::<i64>("min_samples")?.unwrap_or(0);
        // A dump may name roles and tables that are not there yet.
        let is_restored = !is_update && session::is_superuser() && lookup::role(&author).is_none();
        if !is_restored && !is_same {
            check(&query, min_samples, &author)?;
        }
    }
    let now = TimestampWithTimeZone::try_from(clock::now()).ok();
    if is_update || !session::is_superuser() {
        row.set_by_name("updated_at", now)?;
    }
    if !is_update && !session::is_superuser() {
        row.set_by_name("created_at", now)?;
    }
    Ok(Some(row))
}

fn refuse_built_in(row: &Row<'_>, change: &'static str) -> Result<(), AlertError> {
    if row.get_by_name::<bool>("is_built_in")?.unwrap_or(false) && !lookup::is_creating_extension()
    {
        let rule = row.get_by_name::<String>("name")?.unwrap_or_default();
        return Err(AlertError::BuiltIn { rule, change });
    }
    Ok(())
}

/// Gives the shipped rule the settings of an inserted row.
fn take_settings(trigger: &PgTrigger<'_>, row: Row<'_>) -> Result<(), AlertError> {
    let row = glue::row_argument(trigger, Some(row));
    IS_RESTORING.with(|is| *is = true);
    let _ended = Restored;
    spi::connect_mut(|client| {
        client.update(include_str!("../../sql/alerts/take_settings.sql"), None, &[row.bind()])?;
        Ok(())
    })
}

/// The author that the row gets: the role that writes the query. A change of a threshold keeps the
/// author, or the query would gain the rights of a superuser that makes it.
fn author(
    trigger: &PgTrigger<'_>,
    row: &mut Row<'_>,
    is_update: bool,
) -> Result<String, AlertError> {
    if is_update && !glue::assigns(trigger, c"defined_by") {
        if !glue::update_changes_columns(trigger, &["query"]) {
            return Ok(row.get_by_name::<String>("defined_by")?.unwrap_or_default());
        }
        let author = current_user();
        row.set_by_name("defined_by", author.clone())?;
        return Ok(author);
    }
    let author = row.get_by_name::<String>("defined_by")?.unwrap_or_else(current_user);
    match lookup::role(&author) {
        Some(role) if privilege::can_act_as(current_role(), role) => Ok(author),
        // A dump may name roles that this server does not have.
        None if session::is_superuser() => Ok(author),
        None => Err(ServerError::UnknownRole(author).into()),
        Some(_) => Err(AlertError::ForeignAuthor(author)),
    }
}

/// Creates a rule and evaluates it once. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 23514, 25006, 42710, and those of the trigger.
#[pg_extern(schema = "crewsnow_ops", requires = ["alerts"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::too_many_arguments)]
fn create_alert_rule(
    p_name: Option<&str>,
    p_query: Option<&str>,
    p_warning: default!(Option<f64>, "NULL"),
    p_critical: default!(Option<f64>, "NULL"),
    p_description: default!(Option<&str>, "NULL"),
    p_fires_after: default!(Option<Interval>, "'0'"),
    p_clears_after: default!(Option<Interval>, "'0'"),
    p_every: default!(Option<Interval>, "'1 minute'"),
    p_min_samples: default!(Option<i64>, "0"),
    p_no_data: default!(Option<&str>, "'keep'"),
    p_fires_when: default!(Option<&str>, "'above'"),
    p_group: default!(Option<&str>, "NULL"),
) -> Result<String, ErrorReport> {
    let missing = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let name = p_name.ok_or_else(|| missing("p_name"))?;
    let query = p_query.ok_or_else(|| missing("p_query"))?;
    session::require_writable("create an alert rule")?;
    if !as_owner(|| rule::read(Some(name)))?.is_empty() {
        return Err(AlertError::RuleExists(name.to_owned()).into());
    }
    let arguments: [DatumWithOid<'_>; 12] = [
        name.into(),
        query.into(),
        p_warning.into(),
        p_critical.into(),
        p_description.unwrap_or(name).into(),
        p_fires_after.into(),
        p_clears_after.into(),
        p_every.into(),
        p_min_samples.into(),
        p_no_data.into(),
        p_fires_when.into(),
        p_group.into(),
    ];
    // As the caller, who needs INSERT on the table.
    spi::connect_mut(|client| {
        client.update(include_str!("../../sql/alerts/create_rule.sql"), None, &arguments)?;
        Ok::<_, AlertError>(())
    })?;
    let told = as_owner(|| {
        let rule = snapshot::with_latest_snapshot(|| rule::require(name))?;
        Ok::<_, AlertError>(match evaluate(&rule, snapshot::transaction_start()) {
            Err(failed) => format!("its query fails now: {failed}"),
            Ok(rows) => {
                let severities: Vec<_> = rows
                    .iter()
                    .map(|row| Reading::of(row.value, row.samples, rule.min_samples))
                    .map(|reading| rule.conditions().severity_of(reading))
                    .collect();
                let count = |severity| severities.iter().filter(|s| **s == severity).count();
                format!(
                    "{} subjects now, {} critical, {} warning, {} without data",
                    rows.len(),
                    count(Some(Some(Severity::Critical))),
                    count(Some(Some(Severity::Warning))),
                    count(None)
                )
            }
        })
    })?;
    Ok(format!("alert rule {name} created: {told}"))
}
