//! The SQL surface.

use super::collect;
use super::e2e;
use super::e2e_registry;
use super::evidence::valid_release;
use super::pure::model::{Gate, Snapshot, Standing};
use super::pure::render;
use super::pure::verdict::{Decision, Verdict, if_otherwise};
use crate::access::as_owner;
use crate::pg::builtins;
use crate::pg::error::ServerError;
use crate::pg::fmgr::srf::{MaterializedRows, QueryRows};
use crate::pg::xact::session;
use crate::readiness::error::{Kind, ReadinessError};
use crate::suggest::similar;
use crate::time::instant::Instant;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{IntoDatum, JsonB};

/// A decision that was made.
struct Made {
    snapshot: Snapshot,
    verdict: Verdict,
    reasons: Vec<String>,
    actions: Vec<String>,
    /// `None` where it could not be kept.
    id: Option<pgrx::Uuid>,
}

impl Made {
    fn now(gate: Gate, release: Option<String>) -> Result<Self, ReadinessError> {
        let snapshot = collect::snapshot(gate, release)?;
        let verdict = Verdict::of(&snapshot);
        let reasons = render::reasons(&snapshot, &verdict);
        let actions = render::next_actions(&snapshot, &verdict);
        Ok(Self { snapshot, verdict, reasons, actions, id: None })
    }

    fn kept(mut self) -> Result<Self, ReadinessError> {
        if session::is_writable() {
            self.id = Some(self.keep()?);
        } else {
            notice!("this decision is not kept: nothing can be written here");
        }
        Ok(self)
    }

    fn keep(&self) -> Result<pgrx::Uuid, ReadinessError> {
        let id = builtins::new_uuid();
        let by = session::user();
        let inputs = serde_json::to_value(&self.snapshot)
            .map_err(|error| ReadinessError::UnreadableInputs { id: id.to_string(), reason: error.to_string() })?;
        as_owner(|| {
            Spi::connect_mut(|client| {
                let arguments = [
                    id.into(),
                    self.snapshot.gate.as_str().into(),
                    self.snapshot.release.clone().into(),
                    self.word().into(),
                    self.is_go().into(),
                    self.verdict.score.into(),
                    (self.verdict.blockers as i32).into(),
                    (self.verdict.warnings as i32).into(),
                    self.reasons.clone().into(),
                    self.actions.clone().into(),
                    JsonB(inputs).into(),
                    time(self.snapshot.taken_at).into(),
                    by.into(),
                    time(self.verdict.valid_until).into(),
                ];
                client.update(include_str!("../../sql/readiness/keep_decision.sql"), None, &arguments)?;
                Ok(id)
            })
        })
    }

    fn word(&self) -> String {
        self.verdict.word(self.snapshot.gate)
    }

    fn is_go(&self) -> bool {
        self.verdict.decision == Decision::Go
    }
}

fn time(moment: Instant) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(moment.0).ok()
}

/// Whether a release goes out. See the COMMENT on the SQL function.
///
/// SQLSTATE 25001 (old snapshot).
#[pg_extern(sql = false)]
fn make_go_no_go_decision() -> Result<MaterializedRows<10>, ErrorReport> {
    let made = Made::now(Gate::GoNoGo, None)?.kept()?;
    let verdict = &made.verdict;
    Ok(MaterializedRows(vec![[
        made.word().into_datum(),
        verdict.score.into_datum(),
        (verdict.blockers as i32).into_datum(),
        (verdict.warnings as i32).into_datum(),
        made.is_go().into_datum(),
        made.actions.clone().into_datum(),
        render::recommendation(&made.snapshot, verdict).into_datum(),
        made.reasons.clone().into_datum(),
        time(verdict.valid_until).into_datum(),
        made.id.into_datum(),
    ]]))
}

/// Whether the application opens. See the COMMENT on the SQL function.
///
/// SQLSTATE 25001 (old snapshot).
#[pg_extern(sql = false)]
fn make_launch_decision() -> Result<MaterializedRows<9>, ErrorReport> {
    let made = Made::now(Gate::Launch, None)?.kept()?;
    let verdict = &made.verdict;
    Ok(MaterializedRows(vec![[
        made.is_go().into_datum(),
        (verdict.blockers as i32).into_datum(),
        (verdict.warnings as i32).into_datum(),
        verdict.score.into_datum(),
        made.word().into_datum(),
        made.actions.clone().into_datum(),
        made.reasons.clone().into_datum(),
        time(verdict.valid_until).into_datum(),
        made.id.into_datum(),
    ]]))
}

fn asked(gate: Option<&str>, release: Option<&str>) -> Result<Made, ReadinessError> {
    const EXAMPLE: &str = "SELECT * FROM crewsnow_ops.decide('go_no_go', 'v1.4.0');";
    let name = gate.ok_or(ServerError::NullArgument { argument: "p_gate", example: EXAMPLE })?;
    let gate = Gate::parse(name).ok_or_else(|| ReadinessError::UnknownGate(name.to_owned()))?;
    Made::now(gate, valid_release(release)?)
}

/// A decision about a release. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (unknown gate, a release of another form), 25001 (old snapshot).
#[pg_extern(sql = false)]
fn decide(p_gate: Option<&str>, p_release: Option<&str>) -> Result<MaterializedRows<11>, ErrorReport> {
    let made = asked(p_gate, p_release)?.kept()?;
    let verdict = &made.verdict;
    Ok(MaterializedRows(vec![[
        made.snapshot.gate.as_str().into_datum(),
        made.snapshot.release.clone().into_datum(),
        made.word().into_datum(),
        made.is_go().into_datum(),
        verdict.score.into_datum(),
        (verdict.blockers as i32).into_datum(),
        (verdict.warnings as i32).into_datum(),
        made.reasons.clone().into_datum(),
        made.actions.clone().into_datum(),
        time(verdict.valid_until).into_datum(),
        made.id.into_datum(),
    ]]))
}

/// The decision behind `crewsnow_ops.require_go`: its id, or the parts of the error to raise.
///
/// PL/pgSQL raises the error, because pgrx turns SQLSTATEs that it does not know into XX000. A
/// refusal is not kept, so a direct call does no more than a call of require_go.
///
/// SQLSTATE 42501 (the caller may not execute require_go), else as [`decide`].
#[pg_extern(sql = false)]
fn require_go_decision(p_release: Option<&str>, p_gate: Option<&str>) -> Result<MaterializedRows<5>, ErrorReport> {
    if !Spi::get_one::<bool>(include_str!("../../sql/readiness/may_require_go.sql"))
        .map_err(ServerError::from)?
        .unwrap_or_default()
    {
        return Err(ServerError::MayNotExecute("require_go").into());
    }
    let made = asked(p_gate, p_release)?;
    if made.is_go() {
        return Ok(MaterializedRows(vec![[made.kept()?.id.into_datum(), None, None, None, None]]));
    }
    let made = if session::is_writable() { made } else { made.kept()? };
    let of = made.snapshot.release.as_ref().map(|release| format!(" of {release}")).unwrap_or_default();
    let state = if made.verdict.decision == Decision::Caution { "NG002" } else { "NG001" };
    Ok(MaterializedRows(vec![[
        None,
        state.into_datum(),
        format!("{}{of}, {} of 100 points", made.word(), made.verdict.score).into_datum(),
        made.reasons.join("\n").into_datum(),
        made.actions.first().cloned().unwrap_or_default().into_datum(),
    ]]))
}

/// What a decision rests on. See the COMMENT on the SQL function.
///
/// SQLSTATE 42704 (no such decision).
#[pg_extern(sql = false)]
fn explain_decision(p_decision: Option<pgrx::Uuid>) -> Result<MaterializedRows<11>, ErrorReport> {
    let snapshot = kept(p_decision)?;
    let now = snapshot.taken_at;
    let verdict = Verdict::of(&snapshot);
    let mut rows = Vec::new();
    for (i, criterion) in snapshot.criteria.iter().enumerate() {
        let standing = criterion.standing(now);
        let other = if_otherwise(&snapshot, i).map(|other| {
            let how = if standing == Standing::Met { "not met" } else { "met" };
            let word = other.word(snapshot.gate);
            match other.decision == verdict.decision {
                true => format!("{how}: still {word}, {} points", other.score),
                false => format!("{how}: {word}, {} points", other.score),
            }
        });
        let told = |says, record: &Option<super::pure::model::Record>| {
            record.as_ref().map(|record| format!("{says}, by {} at {}", record.by, record.recorded_at))
        };
        let evidence = [told("against it", &criterion.objection), told("for it", &criterion.recorded)];
        let evidence: Vec<String> = evidence.into_iter().flatten().collect();
        let fresh_until = match &criterion.recorded {
            Some(record) if criterion.rests_on_record(now) => record.fresh_until.min(verdict.valid_until),
            Some(record) if standing == Standing::Expired => record.fresh_until,
            _ => verdict.valid_until,
        };
        rows.push([
            criterion.name.clone().into_datum(),
            criterion.category.clone().into_datum(),
            criterion.weight.into_datum(),
            criterion.is_blocker.into_datum(),
            standing.as_str().into_datum(),
            render::seen(criterion).into_datum(),
            (!evidence.is_empty()).then(|| evidence.join("; ")).into_datum(),
            time(fresh_until).into_datum(),
            render::waiver(criterion, &snapshot).into_datum(),
            other.into_datum(),
            render::actions(criterion, &snapshot).into_iter().next().into_datum(),
        ]);
    }
    Ok(MaterializedRows(rows))
}

/// The snapshot of a kept decision, or of the last one.
fn kept(decision: Option<pgrx::Uuid>) -> Result<Snapshot, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(include_str!("../../sql/readiness/decision.sql"), Some(1), &[decision.into()])?;
            if rows.is_empty() {
                let name = decision.map_or_else(|| "the last one".to_owned(), |id| id.to_string());
                return Err(ReadinessError::Unknown { kind: Kind::Decision, name, similar: Vec::new() });
            }
            let row = rows.first();
            let id: String = row.get(1)?.unwrap_or_default();
            let inputs = row.get::<JsonB>(2)?.map(|JsonB(inputs)| inputs).unwrap_or_default();
            serde_json::from_value(inputs)
                .map_err(|error| ReadinessError::UnreadableInputs { id, reason: error.to_string() })
        })
    })
}

/// Runs tests. See the COMMENT on the SQL function.
///
/// SQLSTATE 42704 (no such test), 25006 (read-only), 25001 (old snapshot).
#[pg_extern(sql = false)]
fn run_e2e_tests(p_name: Option<&str>) -> Result<MaterializedRows<7>, ErrorReport> {
    session::require_writable("run tests")?;
    session::require_latest_snapshot("run tests")?;
    let runs = e2e::run(p_name, None)?;
    if let (Some(name), []) = (p_name, runs.as_slice()) {
        return Err(e2e_registry::unknown(name)?.into());
    }
    let row = |run: e2e::Run| {
        let steps = serde_json::to_value(&run.steps).unwrap_or_default();
        [
            run.test.into_datum(),
            run.criterion.into_datum(),
            run.passed.into_datum(),
            run.milliseconds.into_datum(),
            run.failed_step.into_datum(),
            run.error.into_datum(),
            JsonB(steps).into_datum(),
        ]
    };
    Ok(MaterializedRows(runs.into_iter().map(row).collect()))
}

/// What people go through. See the COMMENT on the SQL function.
///
/// SQLSTATE 42704 (no such list).
#[pg_extern(sql = false)]
fn checklist(p_checklist: Option<&str>) -> Result<QueryRows, ErrorReport> {
    let answer = as_owner(|| {
        let answer = QueryRows::of(include_str!("../../sql/readiness/checklist.sql"), &[p_checklist.into()]);
        let Some(name) = p_checklist.filter(|_| !answer.has_rows()) else { return Ok::<_, ReadinessError>(answer) };
        let names = Spi::connect(|client| {
            let rows = client.select(include_str!("../../sql/readiness/checklists.sql"), None, &[])?;
            rows.map(|row| Ok(row.get::<String>(1)?.unwrap_or_default())).collect::<Result<Vec<_>, ReadinessError>>()
        })?;
        let near = similar(name, names.iter().map(String::as_str));
        Err(ReadinessError::Unknown { kind: Kind::Checklist, name: name.to_owned(), similar: near })
    })?;
    Ok(answer)
}
