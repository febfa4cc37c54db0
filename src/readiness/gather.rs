//! The snapshot that a decision rests on.

use super::instant::Instant;
use super::measures::{LastRun, Observer};
use super::model::{Criterion, Gate, Record, Snapshot, Waiver};
use crate::access::as_owner;
use crate::error::OpsError;
use crate::pg::{session, trigger};
use pgrx::prelude::*;

/// A criterion before anybody has looked.
struct Asked {
    criterion: Criterion,
    measures: Vec<String>,
    last_run: Option<LastRun>,
}

/// Looks at everything.
pub fn snapshot(gate: Gate, release: Option<String>) -> Result<Snapshot, OpsError> {
    session::require_latest_snapshot("decide")?;
    let observer = Observer { now: Instant(trigger::clock()), is_writable: session::is_writable() };
    let asked = criteria(gate, release.as_deref())?;
    let look = |Asked { mut criterion, measures, last_run }: Asked| {
        criterion.measurements =
            measures.iter().map(|measure| observer.look(measure, &criterion.name, last_run)).collect();
        criterion
    };
    // One second of looking does not make what is recorded stale: the moment is when it began.
    Ok(Snapshot { gate, release, taken_at: observer.now, criteria: asked.into_iter().map(look).collect() })
}

fn criteria(gate: Gate, release: Option<&str>) -> Result<Vec<Asked>, OpsError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/criteria.sql");
            let mut asked = Vec::new();
            for row in client.select(sql, None, &[gate.as_str().into(), release.into()])? {
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                let time = |column| {
                    row.get::<TimestampWithTimeZone>(column).map(|time| time.map(|time| Instant(time.into_inner())))
                };
                let recorded = match (row.get::<String>(6)?, row.get::<bool>(7)?, time(8)?, time(9)?) {
                    (Some(id), Some(passed), Some(recorded_at), Some(fresh_until)) => {
                        Some(Record { id, passed, recorded_at, fresh_until, by: text(10)? })
                    }
                    _ => None,
                };
                let last_run = match (row.get::<bool>(11)?, time(12)?, time(13)?) {
                    (Some(passed), Some(at), Some(fresh_until)) => Some(LastRun { passed, at, fresh_until }),
                    _ => None,
                };
                let waiver = match (row.get::<String>(14)?, time(18)?) {
                    (Some(id), Some(expires_at)) => Some(Waiver {
                        id,
                        reason: text(15)?,
                        requested_by: text(16)?,
                        approved_by: row.get(17)?,
                        expires_at,
                    }),
                    _ => None,
                };
                asked.push(Asked {
                    criterion: Criterion {
                        name: text(1)?,
                        category: text(2)?,
                        weight: row.get(3)?.unwrap_or(0),
                        is_blocker: row.get(4)?.unwrap_or(true),
                        measurements: Vec::new(),
                        recorded,
                        waiver,
                    },
                    measures: row.get(5)?.unwrap_or_default(),
                    last_run,
                });
            }
            Ok(asked)
        })
    })
}
