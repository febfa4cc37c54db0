//! The SQL functions that decide, explain a decision, run tests and list checklists.

use super::collect;
use super::e2e;
use super::e2e_registry;
use super::evidence::valid_release;
use super::pure::model::{CriterionStatus, Evidence, Gate, Snapshot};
use super::pure::render;
use super::pure::verdict::{Decision, Verdict, if_otherwise};
use crate::access::as_owner;
use crate::pg::builtins;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::srf::{MaterializedRows, QueryRows};
use crate::pg::xact::session;
use crate::readiness::error::{Kind, ReadinessError};
use crate::suggest::similar;
use crate::time::instant::Instant;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{IntoDatum, JsonB};

/// A decision and everything that its row in crewsnow_ops.decisions holds.
struct DecisionRecord {
    snapshot: Snapshot,
    verdict: Verdict,
    reasons: Vec<String>,
    actions: Vec<String>,
    /// `None` if the transaction cannot write.
    id: Option<pgrx::Uuid>,
}

impl DecisionRecord {
    /// Collects a snapshot, decides, and stores the decision if the transaction can write.
    fn decide(gate: Gate, release: Option<String>) -> Result<Self, ReadinessError> {
        let snapshot = collect::collect(gate, release)?;
        let verdict = Verdict::of(&snapshot);
        let reasons = render::reasons(&snapshot, &verdict);
        let actions = render::next_actions(&snapshot, &verdict);
        Ok(Self { snapshot, verdict, reasons, actions, id: None })
    }

    /// Stores the decision, unless the transaction is read-only.
    fn recorded(mut self) -> Result<Self, ReadinessError> {
        if session::is_writable() {
            self.id = Some(self.store()?);
        } else {
            notice!("the decision is not recorded: the transaction is read-only");
        }
        Ok(self)
    }

    fn store(&self) -> Result<pgrx::Uuid, ReadinessError> {
        let id = builtins::new_uuid();
        let by = session::user();
        let inputs = serde_json::to_value(&self.snapshot).map_err(|error| {
            ReadinessError::UnreadableInputs { id: id.to_string(), reason: error.to_string() }
        })?;
        as_owner(|| {
            spi::connect_mut(|client| {
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
                    timestamptz(self.snapshot.taken_at).into(),
                    by.into(),
                    timestamptz(self.verdict.valid_until).into(),
                ];
                client.update(
                    include_str!("../../sql/readiness/keep_decision.sql"),
                    None,
                    &arguments,
                )?;
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

/// `None` outside the range of timestamptz.
fn timestamptz(moment: Instant) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(moment.0).ok()
}

/// May a release be deployed? See the COMMENT on the SQL function.
///
/// SQLSTATE 25001 (REPEATABLE READ or SERIALIZABLE transaction).
#[pg_extern(sql = false)]
fn make_go_no_go_decision() -> Result<MaterializedRows<10>, ErrorReport> {
    let record = DecisionRecord::decide(Gate::GoNoGo, None)?.recorded()?;
    let verdict = &record.verdict;
    Ok(MaterializedRows(vec![[
        record.word().into_datum(),
        verdict.score.into_datum(),
        (verdict.blockers as i32).into_datum(),
        (verdict.warnings as i32).into_datum(),
        record.is_go().into_datum(),
        record.actions.clone().into_datum(),
        render::recommendation(&record.snapshot, verdict).into_datum(),
        record.reasons.clone().into_datum(),
        timestamptz(verdict.valid_until).into_datum(),
        record.id.into_datum(),
    ]]))
}

/// May the application open to the public? See the COMMENT on the SQL function.
///
/// SQLSTATE 25001 (REPEATABLE READ or SERIALIZABLE transaction).
#[pg_extern(sql = false)]
fn make_launch_decision() -> Result<MaterializedRows<9>, ErrorReport> {
    let record = DecisionRecord::decide(Gate::Launch, None)?.recorded()?;
    let verdict = &record.verdict;
    Ok(MaterializedRows(vec![[
        record.is_go().into_datum(),
        (verdict.blockers as i32).into_datum(),
        (verdict.warnings as i32).into_datum(),
        verdict.score.into_datum(),
        record.word().into_datum(),
        record.actions.clone().into_datum(),
        record.reasons.clone().into_datum(),
        timestamptz(verdict.valid_until).into_datum(),
        record.id.into_datum(),
    ]]))
}

/// Validates the arguments that decide and require_go share, then decides.
fn decide_release(
    gate: Option<&str>,
    release: Option<&str>,
) -> Result<DecisionRecord, ReadinessError> {
    const EXAMPLE: &str = "SELECT * FROM crewsnow_ops.decide('go_no_go', 'v1.4.0');";
    let name = gate.ok_or(ServerError::NullArgument { argument: "p_gate", example: EXAMPLE })?;
    let gate = Gate::parse(name).ok_or_else(|| ReadinessError::UnknownGate(name.to_owned()))?;
    DecisionRecord::decide(gate, valid_release(release)?)
}

/// A decision about a release. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL gate), 22023 (unknown gate, release of 0 or more than 200 characters),
/// 25001 (REPEATABLE READ or SERIALIZABLE transaction).
#[pg_extern(sql = false)]
fn decide(
    p_gate: Option<&str>,
    p_release: Option<&str>,
) -> Result<MaterializedRows<11>, ErrorReport> {
    let record = decide_release(p_gate, p_release)?.recorded()?;
    let verdict = &record.verdict;
    Ok(MaterializedRows(vec![[
        record.snapshot.gate.as_str().into_datum(),
        record.snapshot.release.clone().into_datum(),
        record.word().into_datum(),
        record.is_go().into_datum(),
        verdict.score.into_datum(),
        (verdict.blockers as i32).into_datum(),
        (verdict.warnings as i32).into_datum(),
        record.reasons.clone().into_datum(),
        record.actions.clone().into_datum(),
        timestamptz(verdict.valid_until).into_datum(),
        record.id.into_datum(),
    ]]))
}

/// The decision behind `crewsnow_ops.require_go`: its id, or the parts of the error to raise.
///
/// PL/pgSQL raises the error, because pgrx turns SQLSTATEs that it does not know into XX000. A
/// refusal is not kept, so a direct call does no more than a call of require_go.
///
/// SQLSTATE 42501 (the caller may not execute require_go), else as [`decide`].
#[pg_extern(sql = false)]
fn require_go_decision(
    p_release: Option<&str>,
    p_gate: Option<&str>,
) -> Result<MaterializedRows<5>, ErrorReport> {
    // Read-only SPI: unlike Spi::get_one, it assigns no transaction id, which a standby refuses.
    let may_execute = Spi::connect(|client| {
        let sql = include_str!("../../sql/readiness/may_require_go.sql");
        client.select(sql, Some(1), &[])?.first().get_one::<bool>()
    });
    if !may_execute.map_err(ServerError::from)?.unwrap_or_default() {
        return Err(ServerError::MayNotExecute("require_go").into());
    }
    let record = decide_release(p_gate, p_release)?;
    if record.is_go() {
        return Ok(MaterializedRows(vec![[
            record.recorded()?.id.into_datum(),
            None,
            None,
            None,
            None,
        ]]));
    }
    // Says in a read-only transaction that no decision is recorded, as the other functions do.
    let record = if session::is_writable() { record } else { record.recorded()? };
    let of = record
        .snapshot
        .release
        .as_ref()
        .map(|release| format!(" of {release}"))
        .unwrap_or_default();
    let state = if record.verdict.decision == Decision::Caution { "NG002" } else { "NG001" };
    Ok(MaterializedRows(vec![[
        None,
        state.into_datum(),
        format!("{}{of}, {} of 100 points", record.word(), record.verdict.score).into_datum(),
        record.reasons.join("\n").into_datum(),
        record.actions.first().cloned().unwrap_or_default().into_datum(),
    ]]))
}

/// Explains a stored decision, or the latest one. See the COMMENT on the SQL function.
///
/// SQLSTATE 42704 (no such decision).
#[pg_extern(sql = false)]
fn explain_decision(p_decision: Option<pgrx::Uuid>) -> Result<MaterializedRows<11>, ErrorReport> {
    let snapshot = stored_snapshot(p_decision)?;
    let now = snapshot.taken_at;
    let verdict = Verdict::of(&snapshot);
    let mut rows = Vec::new();
    for (i, criterion) in snapshot.criteria.iter().enumerate() {
        let status = criterion.status(now);
        let otherwise = if_otherwise(&snapshot, i).map(|other| {
            let change = if criterion.is_met(now) { "not met" } else { "met" };
            let still = if other.decision == verdict.decision { "still " } else { "" };
            format!("{change}: {still}{}, {} points", other.word(snapshot.gate), other.score)
        });
        let evidence: Vec<String> =
            [("failed", &criterion.objection), ("passed", &criterion.recorded)]
                .into_iter()
                .filter_map(|(result, evidence)| {
                    evidence.as_ref().map(|evidence| recorded(result, evidence))
                })
                .collect();
        let fresh_until = match &criterion.recorded {
            Some(evidence) if criterion.depends_on_evidence(now) => {
                evidence.fresh_until.min(verdict.valid_until)
            }
            Some(evidence) if status == CriterionStatus::Expired => evidence.fresh_until,
            _ => verdict.valid_until,
        };
        rows.push([
            criterion.name.clone().into_datum(),
            criterion.category.clone().into_datum(),
            criterion.weight.into_datum(),
            criterion.is_blocker.into_datum(),
            status.as_str().into_datum(),
            render::measurements(criterion).into_datum(),
            (!evidence.is_empty()).then(|| evidence.join("; ")).into_datum(),
            timestamptz(fresh_until).into_datum(),
            render::waiver(criterion, &snapshot).into_datum(),
            otherwise.into_datum(),
            render::actions(criterion, &snapshot).into_iter().next().into_datum(),
        ]);
    }
    Ok(MaterializedRows(rows))
}

fn recorded(result: &str, evidence: &Evidence) -> String {
    format!("{result}: recorded by {} at {}", evidence.by, evidence.recorded_at)
}

/// The inputs of a stored decision; `None` stands for the latest one.
fn stored_snapshot(decision: Option<pgrx::Uuid>) -> Result<Snapshot, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let rows = client.select(
                include_str!("../../sql/readiness/decision.sql"),
                Some(1),
                &[decision.into()],
            )?;
            if rows.is_empty() {
                let name =
                    decision.map_or_else(|| "the latest one".to_owned(), |id| id.to_string());
                return Err(ReadinessError::Unknown {
                    kind: Kind::Decision,
                    name,
                    similar: Vec::new(),
                });
            }
            let row = rows.first();
            let id: String = row.get(1)?.unwrap_or_default();
            let inputs = row.get::<JsonB>(2)?.map(|JsonB(inputs)| inputs).unwrap_or_default();
            serde_json::from_value(inputs)
                .map_err(|error| ReadinessError::UnreadableInputs { id, reason: error.to_string() })
        })
    })
}

/// Runs one end-to-end test, or all of them. See the COMMENT on the SQL function.
///
/// SQLSTATE 42704 (no such test), 25006 (read-only transaction), 25001 (REPEATABLE READ or
/// SERIALIZABLE transaction).
#[pg_extern(sql = false)]
fn run_e2e_tests(p_name: Option<&str>) -> Result<MaterializedRows<7>, ErrorReport> {
    session::require_writable("run tests")?;
    session::require_latest_snapshot("run tests")?;
    let runs = e2e::run_tests(p_name, None)?;
    if let (Some(name), []) = (p_name, runs.as_slice()) {
        return Err(e2e_registry::unknown_test(name)?.into());
    }
    let row = |run: e2e::TestRun| {
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

/// Lists the items of one checklist, or of all. See the COMMENT on the SQL function.
///
/// SQLSTATE 42704 (no such checklist).
#[pg_extern(sql = false)]
fn checklist(p_checklist: Option<&str>) -> Result<QueryRows, ErrorReport> {
    let items = as_owner(|| {
        let items =
            QueryRows::of(include_str!("../../sql/readiness/checklist.sql"), &[p_checklist.into()]);
        let Some(name) = p_checklist.filter(|_| !items.has_rows()) else {
            return Ok::<_, ReadinessError>(items);
        };
        let names = Spi::connect(|client| {
            let rows =
                client.select(include_str!("../../sql/readiness/checklists.sql"), None, &[])?;
            rows.map(|row| Ok(row.get::<String>(1)?.unwrap_or_default()))
                .collect::<Result<Vec<_>, ReadinessError>>()
        })?;
        let similar = similar(name, names.iter().map(String::as_str));
        Err(ReadinessError::Unknown { kind: Kind::Checklist, name: name.to_owned(), similar })
    })?;
    Ok(items)
}
