//! Records evidence for or against criteria, and validates the arguments that name them.

use super::in_person;
use super::pure::measure::Measure;
use crate::access::as_owner;
use crate::pg::builtins;
use crate::pg::error::ServerError;
use crate::pg::fmgr::raw_arg::Jsonb;
use crate::pg::fmgr::spi;
use crate::pg::xact::session;
use crate::readiness::error::{EVIDENCE_EXAMPLE, Kind, ReadinessError};
use crate::suggest::similar;
use pgrx::JsonB;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Limit of a JSON object as text.
const MAX_OBJECT_BYTES: usize = 256 * 1024;
/// Limit of the name of a release.
const MAX_RELEASE_CHARACTERS: usize = 200;

/// The trimmed name of a release. Errors: 22023 if it is empty or too long.
pub(super) fn valid_release(release: Option<&str>) -> Result<Option<String>, ReadinessError> {
    let length = release.map_or(1, |release| release.trim().chars().count());
    if length == 0 || length > MAX_RELEASE_CHARACTERS {
        return Err(ReadinessError::InvalidRelease(length));
    }
    Ok(release.map(|release| release.trim().to_owned()))
}

/// Passes a JSON object on. Errors: 22023 for another JSON type or more than 256 kB.
pub(super) fn valid_object(argument: &'static str, object: Jsonb) -> Result<JsonB, ReadinessError> {
    let object = JsonB(object.value(argument)?);
    let seen = match &object.0 {
        serde_json::Value::Object(_) => match object.0.to_string().len() {
            length if length > MAX_OBJECT_BYTES => format!("one of {} kB", length.div_ceil(1024)),
            _ => return Ok(object),
        },
        serde_json::Value::Array(_) => "an array".to_owned(),
        serde_json::Value::String(_) => "a string".to_owned(),
        other => other.to_string(),
    };
    Err(ReadinessError::InvalidObject { argument, seen })
}

/// A criterion that a caller named, as far as its arguments depend on it.
pub(super) struct KnownCriterion {
    /// The longest validity of evidence, as SQL text.
    pub fresh_for: String,
    /// Whether the requested validity is positive and at most `fresh_for`.
    pub is_validity_allowed: bool,
    /// Whether a waiver needs approval by another user.
    pub is_blocker: bool,
    /// Whether its measures contain `tests`.
    pub runs_tests: bool,
    /// Whether a measure of it needs recorded evidence.
    pub needs_evidence: bool,
}

/// Looks a criterion up, and judges the requested validity of evidence for it.
/// Errors: 42704 with the closest names if it does not exist.
pub(super) fn find_criterion(
    name: &str,
    valid_for: Option<Interval>,
) -> Result<KnownCriterion, ReadinessError> {
    let needing_evidence: Vec<&str> = Measure::ALL
        .into_iter()
        .filter(|measure| measure.needs_evidence())
        .map(Measure::as_str)
        .collect();
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/known_criteria.sql");
            let mut names = Vec::new();
            for row in client.select(sql, None, &[valid_for.into(), needing_evidence.into()])? {
                let found: String = row.get(1)?.unwrap_or_default();
                if found == name {
                    return Ok(KnownCriterion {
                        fresh_for: row.get(2)?.unwrap_or_default(),
                        is_validity_allowed: row.get(3)?.unwrap_or(true),
                        is_blocker: row.get(4)?.unwrap_or(true),
                        runs_tests: row.get(5)?.unwrap_or(false),
                        needs_evidence: row.get(6)?.unwrap_or(true),
                    });
                }
                names.push(found);
            }
            let similar = similar(name, names.iter().map(String::as_str));
            Err(ReadinessError::Unknown { kind: Kind::Criterion, name: name.to_owned(), similar })
        })
    })
}

/// Records evidence. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (invalid details, validity or release),
/// 42704 (unknown criterion), 25006 (read-only transaction).
#[pg_extern(schema = "crewsnow_ops", requires = ["readiness"])]
#[search_path(pg_catalog, pg_temp)]
fn record_evidence(
    p_criterion: Option<&str>,
    p_passed: Option<bool>,
    p_details: default!(Option<Jsonb>, "'{}'"),
    p_valid_for: default!(Option<Interval>, "NULL"),
    p_release: default!(Option<&str>, "NULL"),
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<pgrx::Uuid, ErrorReport> {
    session::require_writable("record evidence")?;
    let is_typed = in_person::is_typed(fcinfo);
    let null = |argument| ServerError::NullArgument { argument, example: EVIDENCE_EXAMPLE };
    let criterion = p_criterion.ok_or_else(|| null("p_criterion"))?;
    let passed = p_passed.ok_or_else(|| null("p_passed"))?;
    let details = valid_object("p_details", p_details.ok_or_else(|| null("p_details"))?)?;
    let release = valid_release(p_release)?;
    let known = find_criterion(criterion, p_valid_for)?;
    if !known.is_validity_allowed {
        return Err(ReadinessError::InvalidValidity { fresh_for: known.fresh_for }.into());
    }
    if passed && !known.needs_evidence {
        notice!(
            "criterion \"{criterion}\" is measured automatically: \
             passing evidence only answers failing evidence"
        );
    }
    let evidence = NewEvidence {
        criterion,
        passed,
        source: "recorded",
        release,
        details,
        valid_for: p_valid_for,
        is_typed,
    };
    Ok(evidence.insert()?)
}

/// The criterion that restore tests are evidence for.
const RESTORE_TEST: &str = "restore-test";

/// Records the end of a restore test, if decisions know its criterion.
pub fn record_restore_test(
    passed: bool,
    details: JsonB,
    is_typed: bool,
) -> Result<(), ReadinessError> {
    match find_criterion(RESTORE_TEST, None) {
        Err(ReadinessError::Unknown { .. }) => return Ok(()),
        known => known?,
    };
    let (source, release, valid_for) = ("recorded", None, None);
    let criterion = RESTORE_TEST;
    NewEvidence { criterion, passed, source, release, details, valid_for, is_typed }.insert()?;
    Ok(())
}

/// A row to insert into crewsnow_ops.evidence.
pub(super) struct NewEvidence<'a> {
    /// Name of the criterion.
    pub criterion: &'a str,
    /// Whether it supports the criterion.
    pub passed: bool,
    /// `recorded` or `tests`.
    pub source: &'static str,
    /// `None` applies to each release.
    pub release: Option<String>,
    /// A JSON object.
    pub details: JsonB,
    /// `None` stands for `fresh_for` of the criterion.
    pub valid_for: Option<Interval>,
    /// Whether the session user typed the call that records it.
    pub is_typed: bool,
}

impl NewEvidence<'_> {
    /// Inserts the row and returns its id.
    pub(super) fn insert(self) -> Result<pgrx::Uuid, ReadinessError> {
        let id = builtins::new_uuid();
        let by = session::user();
        as_owner(|| {
            spi::connect_mut(|client| {
                let arguments = [
                    id.into(),
                    self.criterion.into(),
                    self.passed.into(),
                    self.source.into(),
                    self.release.into(),
                    self.details.into(),
                    self.valid_for.into(),
                    by.into(),
                    self.is_typed.into(),
                ];
                client.update(
                    include_str!("../../sql/readiness/keep_evidence.sql"),
                    None,
                    &arguments,
                )?;
                Ok(id)
            })
        })
    }
}
