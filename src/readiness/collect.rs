//! The snapshot that a decision rests on.

use super::measures::{LastRun, Observer, Place};
use super::pure::model::{Criterion, Gate, Measurement, Outcome, Record, Snapshot, Waiver};
use crate::access::as_owner;
use crate::pg::clock;
use crate::pg::xact::session;
use crate::pg::xact::snapshot::with_latest_snapshot;
use crate::readiness::error::ReadinessError;
use crate::time::instant::Instant;
use pgrx::prelude::*;
use std::collections::BTreeMap;

/// A criterion before anybody has looked.
struct Asked {
    criterion: Criterion,
    measures: Vec<String>,
    last_run: Option<LastRun>,
}

/// Looks at everything.
///
/// Looking takes its time, tests most of all. What others record, waive or change meanwhile counts: the criteria are read again at the end.
pub fn snapshot(gate: Gate, release: Option<String>) -> Result<Snapshot, ReadinessError> {
    session::require_latest_snapshot("decide")?;
    let observer = Observer { now: Instant(clock::now()), place: Place::here() };
    let mut seen = BTreeMap::new();
    for Asked { criterion, measures, last_run } in criteria(gate, release.as_deref())? {
        for measure in measures {
            let measurement = observer.look(&measure, &criterion.name, last_run);
            seen.insert((criterion.name.clone(), measure), measurement);
        }
    }
    let asked = with_latest_snapshot(|| criteria(gate, release.as_deref()))?;
    let taken_at = Instant(clock::now());
    let with_measurements = |Asked { mut criterion, measures, .. }: Asked| {
        // A measure that somebody has added meanwhile was not looked at.
        let of = |measure: String| {
            seen.get(&(criterion.name.clone(), measure.clone())).cloned().unwrap_or_else(|| unseen(measure))
        };
        criterion.measurements = measures.into_iter().map(of).collect();
        criterion
    };
    Ok(Snapshot { gate, release, taken_at, criteria: asked.into_iter().map(with_measurements).collect() })
}

fn unseen(measure: String) -> Measurement {
    Measurement {
        measure,
        outcome: Outcome::Absent,
        detail: "it was changed while the decision was made".to_owned(),
        action: None,
        fresh_until: None,
        caveat: None,
    }
}

fn criteria(gate: Gate, release: Option<&str>) -> Result<Vec<Asked>, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/criteria.sql");
            let mut asked = Vec::new();
            for row in client.select(sql, None, &[gate.as_str().into(), release.into()])? {
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                let time = |column| {
                    row.get::<TimestampWithTimeZone>(column).map(|time| time.map(|time| Instant(time.into_inner())))
                };
                let record = |first| {
                    Ok::<_, ReadinessError>(match (row.get::<String>(first)?, time(first + 1)?, time(first + 2)?) {
                        (Some(id), Some(recorded_at), Some(fresh_until)) => {
                            Some(Record { id, recorded_at, fresh_until, by: text(first + 3)? })
                        }
                        _ => None,
                    })
                };
                let last_run = match (row.get::<bool>(14)?, time(15)?, time(16)?) {
                    (Some(passed), Some(at), Some(fresh_until)) => {
                        Some(LastRun { passed, at, fresh_until, is_of_these: row.get(17)?.unwrap_or(false) })
                    }
                    _ => None,
                };
                let waiver = match (row.get::<String>(18)?, time(22)?) {
                    (Some(id), Some(expires_at)) => Some(Waiver {
                        id,
                        reason: text(19)?,
                        requested_by: text(20)?,
                        approved_by: row.get(21)?,
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
                        recorded: record(6)?,
                        objection: record(10)?,
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
