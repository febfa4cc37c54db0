//! End-to-end tests: functions of the application that are run as its users and undone.

use crate::access::as_owner;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::fmgr::spi::statements_in;
use crate::pg::xact::sec_context;
use crate::pg::xact::sec_context::Sandbox;
use crate::pg::xact::timeout;
use crate::readiness::error::ReadinessError;
use crate::rls::target::application::Application;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Instant;

/// How many steps a plan may have,
const MOST_STEPS: usize = 1_000;
/// and how many characters of an error, or of a step's name, are kept.
const MOST_CHARACTERS: usize = 1_000;

/// What shape a test has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// It raises, or it has passed.
    Void,
    /// It returns whether it has passed.
    Boolean,
    /// Its lines; those that begin with "not ok" are failures.
    Lines,
    /// Its rows are statements, to be run one after the other.
    Plan,
}

/// A registered test.
struct Test {
    name: String,
    criterion: String,
    function: String,
    role: String,
    claims: Map<String, Value>,
    milliseconds: i32,
    registered_by: String,
    /// What is called, its owner and its shape; `None` if there is no such function any more.
    call: Option<(String, pg_sys::Oid, Option<Shape>)>,
}

/// A step that was taken.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Its name.
    pub step: String,
    /// As which role.
    pub role: String,
    /// How long it took.
    pub milliseconds: f64,
}

/// How a test went.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// The test.
    pub test: String,
    /// Its function.
    pub function: String,
    /// For which criterion.
    #[serde(skip)]
    pub criterion: String,
    /// Whether it passed.
    pub passed: bool,
    /// How long it took.
    pub milliseconds: f64,
    /// In which step it failed.
    pub failed_step: Option<String>,
    /// Why.
    pub error: Option<String>,
    /// The steps that were taken, the failed one included.
    pub steps: Vec<Step>,
}

/// Runs the tests of a name or a criterion, or all, one after the other. None of them leaves anything behind.
pub fn run(name: Option<&str>, criterion: Option<&str>) -> Result<Vec<Run>, ReadinessError> {
    let tests = registered(name, criterion)?;
    if tests.is_empty() {
        return Ok(Vec::new());
    }
    let application = Application::read()?;
    Ok(tests.iter().map(|test| test.run(&application)).collect())
}

fn registered(name: Option<&str>, criterion: Option<&str>) -> Result<Vec<Test>, ReadinessError> {
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
                    claims: object(row.get::<JsonB>(5)?),
                    milliseconds: row.get::<f64>(6)?.unwrap_or(0.0) as i32,
                    registered_by: text(7)?,
                    call: match (row.get::<String>(8)?, row.get::<pg_sys::Oid>(9)?) {
                        (Some(call), Some(owner)) => Some((call, owner, shape)),
                        _ => None,
                    },
                });
            }
            Ok(tests)
        })
    })
}

fn object(json: Option<JsonB>) -> Map<String, Value> {
    match json {
        Some(JsonB(Value::Object(object))) => object,
        _ => Map::new(),
    }
}

/// How far a test has come.
#[derive(Default)]
struct Course {
    steps: Vec<Step>,
    at: Option<(String, String, Option<Instant>)>,
}

impl Course {
    fn begin(&mut self, step: &str, role: &str) {
        self.end();
        self.at = Some((step.to_owned(), role.to_owned(), Some(Instant::now())));
    }

    fn end(&mut self) {
        if let Some((step, role, Some(began))) = self.at.take() {
            self.steps.push(Step { step, role, milliseconds: milliseconds(began) });
        }
    }
}

/// No longer than is read.
fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(MOST_CHARACTERS).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

/// To the microsecond.
fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_micros() as f64 / 1_000.0
}

/// A statement of a plan.
struct Planned {
    step: String,
    statement: String,
    role: Option<String>,
    claims: Option<Map<String, Value>>,
}

impl Test {
    fn run(&self, application: &Application) -> Run {
        let began = Instant::now();
        let mut course = Course::default();
        let error = self.play(application, &mut course).err().map(|error| cut(&error));
        let failed_step = course.at.as_ref().filter(|_| error.is_some()).map(|(step, ..)| step.clone());
        course.end();
        Run {
            test: self.name.clone(),
            function: self.function.clone(),
            criterion: self.criterion.clone(),
            passed: error.is_none(),
            milliseconds: milliseconds(began),
            failed_step,
            error,
            steps: course.steps,
        }
    }

    fn play(&self, application: &Application, course: &mut Course) -> Result<(), String> {
        let Some((call, owner, shape)) = &self.call else {
            return Err(format!("function {} does not exist any more", self.function));
        };
        let shape = shape.ok_or_else(|| format!("function {} is not one that can be a test", self.function))?;
        let registrant = lookup::role(&self.registered_by)
            .ok_or_else(|| format!("role \"{}\", who registered it, does not exist any more", self.registered_by))?;
        // Both could have lost the role since.
        let actor = |role: &str| {
            let oid = lookup::role(role).ok_or_else(|| format!("role \"{role}\" does not exist"))?;
            for member in [registrant, *owner] {
                if !privilege::can_act_as(member, oid) {
                    return Err(format!("\"{}\" is not a member of role \"{role}\"", sec_context::role_name(member)));
                }
            }
            Ok(oid)
        };
        let role = actor(&self.role)?;
        let enter = |stage: &Sandbox, oid: pg_sys::Oid, name: &str, claims: &Map<String, Value>| {
            let mut claims = claims.clone();
            claims.entry("role").or_insert_with(|| name.into());
            stage.enter(oid, &application.request(&claims));
        };
        let work = |stage: &Sandbox| -> Result<(), String> {
            // What is only checked at COMMIT would never be checked. What the calling transaction has left to be checked is checked here.
            course.begin("constraints of the calling transaction", &self.role);
            enter(stage, role, &self.role, &self.claims);
            execute("SET CONSTRAINTS ALL IMMEDIATE")?;
            course.at = None;
            course.begin(if shape == Shape::Plan { "its plan" } else { call }, &self.role);
            if shape != Shape::Plan {
                return outcome(shape, call);
            }
            let planned = plan(call)?;
            if planned.is_empty() {
                return Err("its plan has no step".to_owned());
            }
            if planned.len() > MOST_STEPS {
                return Err(format!("its plan has more than {MOST_STEPS} steps"));
            }
            for planned in planned {
                let name = planned.role.as_ref().unwrap_or(&self.role);
                course.begin(&cut(&planned.step), name);
                // A statement that is put together with a NULL is NULL, and would be a step that cannot fail.
                match statements_in(&planned.statement) {
                    0 => return Err("it has no statement".to_owned()),
                    1 => {}
                    n => return Err(format!("it has {n} statements: each is a step of its own")),
                }
                enter(stage, actor(name)?, name, planned.claims.as_ref().unwrap_or(&self.claims));
                execute(&planned.statement)?;
            }
            Ok(())
        };
        let (answer, has_expired) = timeout::with_timeout(self.milliseconds, || sec_context::sandboxed(work));
        match answer {
            _ if has_expired => Err(format!("it took longer than {} ms and was stopped", self.milliseconds)),
            Ok(answer) => answer,
            Err(failure) if failure.is_interrupt() => failure.raise(),
            Err(failure) => Err(match failure.state().as_str() {
                // Where an application has SQLSTATEs of its own.
                "XX000" => failure.message,
                state => format!("{state}: {}", failure.message),
            }),
        }
    }
}

/// Runs a statement. If its first column is boolean, it must return rows, and only true ones.
fn execute(statement: &str) -> Result<(), String> {
    Spi::connect_mut(|client| {
        let rows = client.update(statement, None, &[]).map_err(told)?;
        let type_ = if rows.columns().unwrap_or(0) == 0 { None } else { rows.column_type_oid(1).ok() };
        // A domain over it is one, too.
        if type_.map(|type_| lookup::base_type(type_.value())) != Some(pg_sys::BOOLOID) {
            return Ok(());
        }
        if rows.is_empty() {
            return Err("it returned no row, where it should have returned true".to_owned());
        }
        for row in rows {
            match row.get::<bool>(1).map_err(told)? {
                Some(true) => {}
                Some(false) => return Err("it returned false".to_owned()),
                None => return Err("it returned NULL, where it should have returned true".to_owned()),
            }
        }
        Ok(())
    })
}

/// COMMIT and its like arrive here; errors of statements are raised.
fn told(error: pgrx::spi::Error) -> String {
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

fn outcome(shape: Shape, call: &str) -> Result<(), String> {
    match shape {
        Shape::Lines => Spi::connect_mut(|client| {
            let sql = format!("SELECT l.line FROM {call} AS l (line)");
            let (mut passed, mut wanted) = (0, None);
            for row in client.update(sql.as_str(), None, &[]).map_err(told)? {
                let line: String = row.get(1).map_err(told)?.ok_or("it returned NULL")?;
                let line = line.trim();
                if line.starts_with("not ok") || line.starts_with("Bail out!") {
                    return Err(line.to_owned());
                }
                passed += usize::from(line == "ok" || line.starts_with("ok "));
                wanted = line.strip_prefix("1..").and_then(|plan| plan.parse::<usize>().ok()).or(wanted);
            }
            match wanted {
                Some(wanted) if wanted != passed => {
                    Err(format!("it planned {wanted} tests, of which {passed} were ok"))
                }
                _ if passed == 0 => Err("it returned no line that says ok".to_owned()),
                _ => Ok(()),
            }
        }),
        _ => execute(&format!("SELECT {call}")),
    }
}

fn plan(call: &str) -> Result<Vec<Planned>, String> {
    Spi::connect_mut(|client| {
        let sql = format!(
            "SELECT p.step::pg_catalog.text, p.statement::pg_catalog.text, pg_catalog.to_jsonb(p) OPERATOR(pg_catalog.->>) 'role', pg_catalog.to_jsonb(p) OPERATOR(pg_catalog.->) 'claims' FROM {call} AS p"
        );
        let mut planned = Vec::new();
        for row in client.update(sql.as_str(), None, &[]).map_err(told)? {
            planned.push(Planned {
                step: row.get(1).map_err(told)?.unwrap_or_default(),
                statement: row.get(2).map_err(told)?.unwrap_or_default(),
                role: row.get(3).map_err(told)?,
                claims: match row.get::<JsonB>(4).map_err(told)? {
                    Some(JsonB(Value::Object(claims))) => Some(claims),
                    _ => None,
                },
            });
        }
        Ok(planned)
    })
}
