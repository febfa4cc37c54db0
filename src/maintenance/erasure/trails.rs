//! The extension's own trails of a person: each occurrence becomes a pseudonym, and each changed
//! table is a row of crewsnow_ops.trail_erasures.

use super::error::ErasureError;
use super::person::Person;
use super::query::{View, number};
use crate::access::as_owner;
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::in_target_schema;
use crate::pg::trail_erasure;
use crate::pg::xact::sec_context;
use pgrx::prelude::*;

/// One of the extension's own tables.
pub struct Trail {
    /// The name, quoted and qualified.
    pub name: String,
    set: String,
    condition: String,
}

/// The own tables that can hold identifiers in texts, without event_log.
fn trails() -> Result<Vec<Trail>, ErasureError> {
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/maintenance/erasure_own_tables.sql");
        client
            .select(sql, None, &[])?
            .map(|row| {
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                Ok(Trail { name: text(1)?, set: text(2)?, condition: text(3)? })
            })
            .collect()
    })
}

/// The number of rows of each own table that hold the person, without those that have none.
pub fn counted(person: &Person) -> Result<Vec<(String, i64)>, ErasureError> {
    as_owner(|| {
        let mut counts = Vec::new();
        let mut add = |name: String, sql: &str, arguments: &[pgrx::datum::DatumWithOid<'_>]| {
            let rows = number(View::Statement, sql, arguments)?;
            if rows > 0 {
                counts.push((name, rows));
            }
            Ok::<_, ErasureError>(())
        };
        let (pattern, owner) = (person.pattern(), person.owner_pattern());
        let uuid = person.uuid();
        for (name, sql) in [
            ("event_log", include_str!("../../../sql/maintenance/erasure_count_events.sql")),
            ("feature_flags", include_str!("../../../sql/maintenance/erasure_count_flags.sql")),
        ] {
            add(name.into(), &in_target_schema(sql)?, &[pattern.as_str().into(), uuid.into()])?;
        }
        for Trail { name, condition, .. } in trails()? {
            let sql = format!("SELECT count(*) FROM {name} AS r WHERE {condition}");
            let arguments = [pattern.as_str().into(), "".into(), owner.as_str().into()];
            add(name, &sql, &arguments)?;
        }
        Ok(counts)
    })
}

/// Replaces the person in every own table, as the owner of the extension. Returns the number of
/// changed rows by table.
pub fn erase(
    request: pgrx::Uuid,
    person: &Person,
    pseudonym: &str,
) -> Result<Vec<(String, i64)>, ErasureError> {
    let actor = sec_context::current_user();
    as_owner(|| {
        trail_erasure::running(|| {
            let (pattern, owner) = (person.pattern(), person.owner_pattern());
            let mut changed = Vec::new();
            if let Some(uuid) = person.uuid() {
                let sql = include_str!("../../../sql/maintenance/erasure_flags.sql");
                let rows = spi::connect_mut(|client| {
                    let reason = format!("erasure {request}");
                    let row = client.update(sql, Some(1), &[uuid.into(), reason.into()])?.first();
                    Ok::<_, ErasureError>(row.get::<i64>(1)?.unwrap_or(0))
                })?;
                changed.push(("feature_flags".to_owned(), rows));
            }
            let events =
                in_target_schema(include_str!("../../../sql/maintenance/erasure_events.sql"))?;
            let arguments = [pattern.as_str().into(), pseudonym.into(), person.uuid().into()];
            changed.push(("event_log".to_owned(), updated(&events, &arguments)?));
            for Trail { name, set, condition } in trails()? {
                let sql = format!("UPDATE {name} AS r SET {set} WHERE {condition}");
                let arguments = [pattern.as_str().into(), pseudonym.into(), owner.as_str().into()];
                let rows = updated(&sql, &arguments)?;
                changed.push((name, rows));
            }
            changed.retain(|(_, rows)| *rows > 0);
            for (name, rows) in &changed {
                let sql = include_str!("../../../sql/maintenance/erasure_note_trail.sql");
                let arguments =
                    [request.into(), name.as_str().into(), (*rows).into(), actor.as_str().into()];
                updated(sql, &arguments)?;
            }
            Ok(changed)
        })
    })
}

/// The number of rows that a statement changed.
fn updated(sql: &str, arguments: &[pgrx::datum::DatumWithOid<'_>]) -> Result<i64, ErasureError> {
    spi::connect_mut(|client| Ok(client.update(sql, None, arguments)?.len() as i64))
}
