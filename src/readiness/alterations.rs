//! Reads criteria that differ from their original state, and approves them.

use super::in_person::require_typed;
use super::pure::alteration::{Alteration, Rules};
use super::pure::model::Gate;
use super::triggers::ApprovingGuard;
use crate::access::as_owner;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::xact::session;
use crate::readiness::error::{CRITERION_EXAMPLE, ReadinessError};
use crate::readiness::evidence::find_criterion;
use crate::time::instant::Instant;
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;

/// The alterations that concern a gate.
pub(super) fn read_alterations(gate: Gate) -> Result<Vec<Alteration>, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/alterations.sql");
            let mut alterations = Vec::new();
            for row in client.select(sql, None, &[])? {
                let word: String = row.get(2)?.unwrap_or_default();
                let now = Rules {
                    name: row.get(1)?.unwrap_or_default(),
                    gate: Gate::parse(&word).unwrap_or(Gate::GoNoGo),
                    weight: row.get(3)?.unwrap_or(0),
                    is_blocker: row.get(4)?.unwrap_or(true),
                    measures: row.get(5)?.unwrap_or_default(),
                    fresh_for: row.get(6)?.unwrap_or(0),
                    is_enabled: row.get(7)?.unwrap_or(true),
                };
                let original = row.get::<JsonB>(8)?.map(|JsonB(original)| original);
                // A state that cannot be read counts as a blocker: unknown is never safe.
                let original = original
                    .and_then(|original| serde_json::from_value(original).ok())
                    .unwrap_or_else(|| Rules {
                        is_blocker: true,
                        is_enabled: true,
                        measures: vec!["its original measures".to_owned()],
                        ..now.clone()
                    });
                let at: Option<TimestampWithTimeZone> = row.get(10)?;
                let record = (
                    row.get(9)?.unwrap_or_default(),
                    Instant(at.map_or(0, TimestampWithTimeZone::into_inner)),
                    row.get(11)?,
                );
                alterations.extend(Alteration::between(&original, &now, gate, record));
            }
            Ok(alterations)
        })
    })
}

/// Approves the present state of a criterion. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 42501 (own change, or not typed by the user), 42704 (unknown
/// criterion), 55000 (in its original state), 25006 (read-only transaction).
#[pg_extern(schema = "crewsnow_ops", requires = ["readiness"])]
#[search_path(pg_catalog, pg_temp)]
fn approve_criterion(
    p_criterion: Option<&str>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<(), ErrorReport> {
    session::require_writable("approve a criterion")?;
    let name = p_criterion
        .ok_or(ServerError::NullArgument { argument: "p_criterion", example: CRITERION_EXAMPLE })?;
    require_typed(fcinfo, "approve a criterion", || {
        format!("SELECT crewsnow_ops.approve_criterion({});", quote_literal(name))
    })?;
    find_criterion(name, None)?;
    let by = session::user();
    let authors = as_owner(|| {
        let _approving = ApprovingGuard::begin();
        spi::connect_mut(|client| {
            let sql = include_str!("../../sql/readiness/approve_criterion.sql");
            let rows = client.update(sql, None, &[name.into(), by.clone().into()])?;
            match rows.is_empty() {
                true => Ok::<_, ReadinessError>(None),
                false => Ok(rows.first().get::<Vec<String>>(1)?),
            }
        })
    })?;
    match authors {
        None => Err(ReadinessError::NotAltered(name.to_owned()).into()),
        Some(authors) if authors.contains(&by) => {
            let authors = authors.join(", ");
            Err(ReadinessError::OwnChange { name: name.to_owned(), authors }.into())
        }
        Some(_) => Ok(()),
    }
}
