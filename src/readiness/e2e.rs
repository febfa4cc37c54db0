//! Runs end-to-end tests: functions of the application, as its users, in subtransactions that are
//! rolled back.

use super::pure::tap::{Results, Tap};
use crate::access::as_owner;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::error::ServerError;
use crate::pg::fmgr::raw_arg::Jsonb;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::statements_in;
use crate::pg::xact::sec_context;
use crate::pg::xact::sec_context::Sandbox;
use crate::pg::xact::subtransaction::Failure;
use crate::pg::xact::{temporary_relations, timeout};
use crate::readiness::error::ReadinessError;
use crate::rls::target::application::Application;
use pgrx::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Instant;

/// Limit of the steps of a plan.
const MAX_STEPS: usize = 1_000;
/// Longer error messages and step names are truncated.
const MAX_CHARACTERS: usize = 1_000;

/// The result type of a test function. It defines how a test passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Passes unless it raises an error.
    Void,
    /// Passes if it returns true.
    Boolean,
    /// Returns text in the Test Anything Protocol.
    Lines,
    /// Returns rows of statements, which run in order.
    Plan,
}

/// A row of crewsnow_ops.e2e_tests.
struct Test {
    name: String,
    criterion: String,
    function: String,
    role: String,
    claims: Map<String, Value>,
    time_limit_ms: i32,
    registered_by: String,
    /// `None` if the function no longer exists.
    call: Option<Call>,
}

/// How to call a test function as it is defined now.
struct Call {
    /// The call with its qualified name, as SQL.
    expression: String,
    owner: pg_sys::Oid,
    /// `None` if the function was replaced by one that cannot be a test.
    shape: Option<Shape>,
}

/// A step that a test ran.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    /// Its name in the plan.
    pub step: String,
    /// The role that ran it.
    pub role: String,
    /// Elapsed time.
    pub milliseconds: f64,
}

/// The result of a test. Serialized into crewsnow_ops.evidence.details.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TestRun {
    /// Name of the test.
    pub test: String,
    /// The function as it was registered.
    pub function: String,
    /// Name of the criterion.
    #[serde(skip)]
    pub criterion: String,
    pub passed: bool,
    /// Elapsed time of all steps.
    pub milliseconds: f64,
    /// `None` if it passed or failed before its first step.
    pub failed_step: Option<String>,
    /// `None` if it passed.
    pub error: Option<String>,
    /// The steps that ran, including the failed one.
    pub steps: Vec<Step>,
    /// Test points with the directive SKIP.
    pub skipped: usize,
    /// Test points with the directive TODO.
    pub todo: usize,
}

/// Runs the tests of this name, of this criterion, or all of them, in the order of their names.
/// Each is rolled back.
pub(super) fn run_tests(
    name: Option<&str>,
    criterion: Option<&str>,
) -> Result<Vec<TestRun>, ReadinessError> {
    let tests = registered_tests(name, criterion)?;
    if tests.is_empty() {
        return Ok(Vec::new());
    }
    let application = Application::read()?;
    Ok(tests.iter().map(|test| test.run(&application)).collect())
}

fn registered_tests(
    name: Option<&str>,
    criterion: Option<&str>,
) -> Result<Vec<Test>, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/tests.sql");
            let mut tests = Vec::new();
            for row in client.select(sql, None, &[name.into(), criterion.into()])? {
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                let shape = match text(10)?.as_str() {
                    "void" => Some(Shape::Void),
                    "boolean" => Some(Shape::Boolean),
                    "lines" => Some(Shape::Lines),
                    "plan" => Some(Shape::Plan),
                    _ => None,
                };
                tests.push(Test {
                    name: text(1)?,
                    criterion: text(2)?,
                    function: text(3)?,
                    role: text(4)?,
                    claims: json_object(row.get(5)?)?.unwrap_or_default(),
                    time_limit_ms: row.get::<f64>(6)?.unwrap_or(0.0) as i32,
                    registered_by: text(7)?,
                    call: match (row.get::<String>(8)?, row.get::<pg_sys::Oid>(9)?) {
                        (Some(expression), Some(owner)) => Some(Call { expression, owner, shape }),
                        _ => None,
                    },
                });
            }
            Ok(tests)
        })
    })
}

fn json_object(json: Option<Jsonb>) -> Result<Option<Map<String, Value>>, ServerError> {
    match json.map(|json| json.value("claims")).transpose()? {
        Some(Value::Object(object)) => Ok(Some(object)),
        _ => Ok(None),
    }
}

/// The steps of a running test.
#[derive(Default)]
struct Progress {
    finished: Vec<Step>,
    current: Option<CurrentStep>,
    /// Results of a test that returns lines.
    results: Results,
}

struct CurrentStep {
    name: String,
    role: String,
    began: Instant,
}

impl Progress {
    fn begin_step(&mut self, name: &str, role: &str) {
        self.end_step();
        self.current = Some(CurrentStep {
            name: name.to_owned(),
            role: role.to_owned(),
            began: Instant::now(),
        });
    }

    fn end_step(&mut self) {
        if let Some(CurrentStep { name, role, began }) = self.current.take() {
            self.finished.push(Step { step: name, role, milliseconds: milliseconds_since(began) });
        }
    }
}

fn truncated(text: &str) -> String {
    let mut truncated: String = text.chars().take(MAX_CHARACTERS).collect();
    if truncated.len() < text.len() {
        truncated.push('…');
    }
    truncated
}

fn milliseconds_since(began: Instant) -> f64 {
    began.elapsed().as_micros() as f64 / 1_000.0
}

/// A row of a plan.
struct PlannedStep {
    name: String,
    statement: String,
    /// `None` stands for the role of the test.
    role: Option<String>,
    /// `None` stands for the claims of the test.
    claims: Option<Map<String, Value>>,
}

impl Test {
    fn run(&self, application: &Application) -> TestRun {
        let began = Instant::now();
        let mut progress = Progress::default();
        let error = self.execute(application, &mut progress).err().map(|error| truncated(&error));
        let failed_step =
            progress.current.as_ref().filter(|_| error.is_some()).map(|step| step.name.clone());
        progress.end_step();
        TestRun {
            test: self.name.clone(),
            function: self.function.clone(),
            criterion: self.criterion.clone(),
            passed: error.is_none(),
            milliseconds: milliseconds_since(began),
            failed_step,
            error,
            steps: progress.finished,
            skipped: progress.results.skipped,
            todo: progress.results.todo,
        }
    }

    fn execute(&self, application: &Application, progress: &mut Progress) -> Result<(), String> {
        let Some(Call { expression, owner, shape }) = &self.call else {
            return Err(format!("function {} no longer exists", self.function));
        };
        let shape =
            shape.ok_or_else(|| format!("function {} can no longer be a test", self.function))?;
        let registrant = lookup::role(&self.registered_by).ok_or_else(|| {
            format!("role \"{}\", which registered it, no longer exists", self.registered_by)
        })?;
        // Checked again at each run: either of them may have lost the role since registration.
        let permitted_role = |role: &str| {
            let oid =
                lookup::role(role).ok_or_else(|| format!("role \"{role}\" does not exist"))?;
            for member in [registrant, *owner] {
                if !privilege::can_act_as(member, oid) {
                    return Err(format!(
                        "\"{}\" is not a member of role \"{role}\"",
                        sec_context::role_name(member)
                    ));
                }
            }
            Ok(oid)
        };
        let test_role = permitted_role(&self.role)?;
        let enter =
            |sandbox: &Sandbox, oid: pg_sys::Oid, role: &str, claims: &Map<String, Value>| {
                let mut claims = claims.clone();
                claims.entry("role").or_insert_with(|| role.into());
                sandbox.enter(oid, &application.request(&claims));
            };
        let run_steps = |sandbox: &Sandbox| -> Result<(), String> {
            // Without a COMMIT, deferred constraints would never be checked. This also checks those
            // that the calling transaction has deferred, as a step of its own.
            progress.begin_step("constraints of the calling transaction", &self.role);
            enter(sandbox, test_role, &self.role, &self.claims);
            run_statement("SET CONSTRAINTS ALL IMMEDIATE")?;
            progress.current = None;
            progress
                .begin_step(if shape == Shape::Plan { "its plan" } else { expression }, &self.role);
            match shape {
                Shape::Void | Shape::Boolean => {
                    return run_statement(&format!("SELECT {expression}"));
                }
                Shape::Lines => {
                    progress.results = run_tap_function(expression)?;
                    return Ok(());
                }
                Shape::Plan => {}
            }
            let plan = read_plan(expression)?;
            if plan.is_empty() {
                return Err("its plan has no step".to_owned());
            }
            if plan.len() > MAX_STEPS {
                return Err(format!("its plan has more than {MAX_STEPS} steps"));
            }
            for step in plan {
                let role = step.role.as_ref().unwrap_or(&self.role);
                progress.begin_step(&truncated(&step.name), role);
                // Concatenation with NULL yields NULL: a step without a statement could never fail.
                match statements_in(&step.statement) {
                    0 => return Err("it has no statement".to_owned()),
                    1 => {}
                    n => {
                        return Err(format!(
                            "it has {n} statements: each must be a step of its own"
                        ));
                    }
                }
                let claims = step.claims.as_ref().unwrap_or(&self.claims);
                enter(sandbox, permitted_role(role)?, role, claims);
                run_statement(&step.statement)?;
            }
            Ok(())
        };
        let (result, has_expired) = timeout::with_timeout(self.time_limit_ms, || {
            temporary_relations::allowed(|| sec_context::sandboxed(run_steps))
        });
        if has_expired {
            return Err(format!("it was stopped at its time limit of {} ms", self.time_limit_ms));
        }
        match result.map_err(Failure::rethrow_interrupt) {
            Ok(result) => result,
            Err(failure) => Err(match failure.state().as_str() {
                // An SQLSTATE of the application's own, which pgrx does not preserve.
                "XX000" => failure.message,
                state => format!("{state}: {}", failure.message),
            }),
        }
    }
}

/// Runs a statement. If its first column is boolean, it must return rows, and only true ones.
fn run_statement(statement: &str) -> Result<(), String> {
    spi::connect_mut(|client| {
        let rows = client.update(statement, None, &[]).map_err(spi_error)?;
        let has_columns = rows.columns().unwrap_or(0) > 0;
        let type_ = has_columns.then(|| rows.column_type_oid(1).ok()).flatten();
        // Domains over boolean included.
        if type_.map(|type_| lookup::base_type(type_.value())) != Some(pg_sys::BOOLOID) {
            return Ok(());
        }
        if rows.is_empty() {
            return Err("it returned no row instead of true".to_owned());
        }
        for row in rows {
            match row.get::<bool>(1).map_err(spi_error)? {
                Some(true) => {}
                Some(false) => return Err("it returned false".to_owned()),
                None => return Err("it returned NULL instead of true".to_owned()),
            }
        }
        Ok(())
    })
}

/// The message for a statement that SPI refuses. Errors of the statement itself are raised instead.
fn spi_error(error: pgrx::spi::Error) -> String {
    match error {
        pgrx::spi::Error::SpiError(pgrx::spi::SpiErrorCodes::Transaction) => {
            "2D000: a test cannot begin or end transactions".to_owned()
        }
        pgrx::spi::Error::SpiError(pgrx::spi::SpiErrorCodes::Copy) => {
            "0A000: a test cannot COPY from or to a client".to_owned()
        }
        error => error.to_string(),
    }
}

/// Calls a function that returns lines of the Test Anything Protocol, and counts its results.
fn run_tap_function(call: &str) -> Result<Results, String> {
    spi::connect_mut(|client| {
        let sql = format!("SELECT l.line FROM {call} AS l (line)");
        let mut tap = Tap::default();
        for row in client.update(sql.as_str(), None, &[]).map_err(spi_error)? {
            match row.get::<String>(1).map_err(spi_error)? {
                Some(text) => tap.read(&text)?,
                None => tap.read_null(),
            }
        }
        tap.finish()
    })
}

/// Calls a function that returns a plan. The columns role and claims are optional.
fn read_plan(call: &str) -> Result<Vec<PlannedStep>, String> {
    spi::connect_mut(|client| {
        let sql = format!(
            "SELECT p.step::pg_catalog.text, p.statement::pg_catalog.text, \
             pg_catalog.to_jsonb(p) OPERATOR(pg_catalog.->>) 'role', \
             pg_catalog.to_jsonb(p) OPERATOR(pg_catalog.->) 'claims' FROM {call} AS p"
        );
        let mut plan = Vec::new();
        for row in client.update(sql.as_str(), None, &[]).map_err(spi_error)? {
            plan.push(PlannedStep {
                name: row.get(1).map_err(spi_error)?.unwrap_or_default(),
                statement: row.get(2).map_err(spi_error)?.unwrap_or_default(),
                role: row.get(3).map_err(spi_error)?,
                claims: json_object(row.get(4).map_err(spi_error)?)
                    .map_err(|error| error.to_string())?,
            });
        }
        Ok(plan)
    })
}
