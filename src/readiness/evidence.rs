//! What speaks for criteria, and against them.

use crate::access::as_owner;
use crate::pg::builtins;
use crate::pg::error::ServerError;
use crate::pg::xact::session;
use crate::readiness::error::{EVIDENCE_EXAMPLE, Kind, ReadinessError};
use crate::suggest::similar;
use pgrx::JsonB;
use pgrx::datum::Interval;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// How long a JSON object may be, as text.
const MOST_BYTES: usize = 256 * 1024;
/// How many characters the name of a release may have.
const MOST_CHARACTERS: usize = 200;

/// The name of a release, which must be one.
pub fn valid_release(release: Option<&str>) -> Result<Option<String>, ReadinessError> {
    let length = release.map_or(1, |release| release.trim().chars().count());
    if length == 0 || length > MOST_CHARACTERS {
        return Err(ReadinessError::InvalidRelease(length));
    }
    Ok(release.map(|release| release.trim().to_owned()))
}

/// A JSON object of a bearable size.
pub fn valid_object(argument: &'static str, object: JsonB) -> Result<JsonB, ReadinessError> {
    let seen = match &object.0 {
        serde_json::Value::Object(_) => match object.0.to_string().len() {
            length if length > MOST_BYTES => format!("one of {} kB", length.div_ceil(1024)),
            _ => return Ok(object),
        },
        serde_json::Value::Array(_) => "an array".to_owned(),
        serde_json::Value::String(_) => "a string".to_owned(),
        other => other.to_string(),
    };
    Err(ReadinessError::InvalidObject { argument, seen })
}

/// A criterion that somebody refers to.
pub struct Known {
    /// How long evidence for it counts, as SQL writes it.
    pub fresh_for: String,
    /// Whether evidence may count for so long.
    pub is_valid: bool,
    /// Whether nothing goes out without it.
    pub is_blocker: bool,
    /// Whether it runs tests.
    pub runs_tests: bool,
    /// Whether evidence for it counts: there is something that is known elsewhere.
    pub asks_for_evidence: bool,
}

/// The criterion of this name, which must be there; and whether evidence for it may count for a time.
pub fn known_criterion(name: &str, valid_for: Option<Interval>) -> Result<Known, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/known_criteria.sql");
            let mut names = Vec::new();
            for row in client.select(sql, None, &[valid_for.into()])? {
                let found: String = row.get(1)?.unwrap_or_default();
                if found == name {
                    return Ok(Known {
                        fresh_for: row.get(2)?.unwrap_or_default(),
                        is_valid: row.get(3)?.unwrap_or(true),
                        is_blocker: row.get(4)?.unwrap_or(true),
                        runs_tests: row.get(5)?.unwrap_or(false),
                        asks_for_evidence: row.get(6)?.unwrap_or(true),
                    });
                }
                names.push(found);
            }
            let near = similar(name, names.iter().map(String::as_str));
            Err(ReadinessError::Unknown { kind: Kind::Criterion, name: name.to_owned(), similar: near })
        })
    })
}

/// Records evidence. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (details, validity or release of another form), 42704 (unknown criterion), 25006 (read-only).
#[pg_extern(schema = "crewsnow_ops", requires = ["readiness"])]
#[search_path(pg_catalog, pg_temp)]
fn record_evidence(
    p_criterion: Option<&str>,
    p_passed: Option<bool>,
    p_details: default!(Option<JsonB>, "'{}'"),
    p_valid_for: default!(Option<Interval>, "NULL"),
    p_release: default!(Option<&str>, "NULL"),
) -> Result<pgrx::Uuid, ErrorReport> {
    session::require_writable("record evidence")?;
    let null = |argument| ServerError::NullArgument { argument, example: EVIDENCE_EXAMPLE };
    let criterion = p_criterion.ok_or_else(|| null("p_criterion"))?;
    let passed = p_passed.ok_or_else(|| null("p_passed"))?;
    let details = valid_object("p_details", p_details.ok_or_else(|| null("p_details"))?)?;
    let release = valid_release(p_release)?;
    let known = known_criterion(criterion, p_valid_for)?;
    if !known.is_valid {
        return Err(ReadinessError::InvalidValidity { fresh_for: known.fresh_for }.into());
    }
    if passed && !known.asks_for_evidence {
        notice!("\"{criterion}\" is seen by itself: evidence for it only answers evidence against it");
    }
    Ok(keep(criterion, passed, "recorded", release, details, p_valid_for)?)
}

/// Keeps it.
pub fn keep(
    criterion: &str,
    passed: bool,
    source: &str,
    release: Option<String>,
    details: JsonB,
    valid_for: Option<Interval>,
) -> Result<pgrx::Uuid, ReadinessError> {
    let id = builtins::new_uuid();
    let by = session::user();
    as_owner(|| {
        Spi::connect_mut(|client| {
            let arguments = [
                id.into(),
                criterion.into(),
                passed.into(),
                source.into(),
                release.into(),
                details.into(),
                valid_for.into(),
                by.into(),
            ];
            client.update(include_str!("../../sql/readiness/keep_evidence.sql"), None, &arguments)?;
            Ok(id)
        })
    })
}
