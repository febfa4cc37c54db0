//! Collects the snapshot that a decision is computed from.

use super::alterations::read_alterations;
use super::measures::{LastRun, Observer};
use super::observation::{CLOCK_TOLERANCE, Environment};
use super::pure::model::{Criterion, Evidence, Gate, Measurement, Outcome, Snapshot, Waiver};
use crate::access::as_owner;
use crate::pg::clock;
use crate::pg::xact::session;
use crate::pg::xact::snapshot::with_latest_snapshot;
use crate::readiness::error::ReadinessError;
use crate::time::instant::Instant;
use pgrx::prelude::*;
use std::collections::BTreeMap;

/// A criterion without its measurements, and its input for them.
struct CriterionRow {
    criterion: Criterion,
    measures: Vec<String>,
    last_run: Option<LastRun>,
}

/// Evaluates each measure, then reads the criteria again.
///
/// Measurements take time, end-to-end tests above all. The second read picks up evidence, waivers
/// and criteria that other sessions committed meanwhile. Errors: 25001 in a transaction whose
/// snapshot would not see them.
pub(super) fn collect(gate: Gate, release: Option<String>) -> Result<Snapshot, ReadinessError> {
    session::require_latest_snapshot("decide")?;
    let observer = Observer { now: Instant(clock::now()), environment: Environment::current() };
    let mut measurements = BTreeMap::new();
    for CriterionRow { criterion, measures, last_run } in read_criteria(gate, release.as_deref())? {
        for measure in measures {
            let measurement = observer.evaluate(&measure, &criterion.name, last_run);
            measurements.insert((criterion.name.clone(), measure), measurement);
        }
    }
    let (rows, alterations) = with_latest_snapshot(|| {
        Ok::<_, ReadinessError>((read_criteria(gate, release.as_deref())?, read_alterations(gate)?))
    })?;
    let taken_at = Instant(clock::now());
    let with_measurements = |CriterionRow { mut criterion, measures, .. }: CriterionRow| {
        let measured = |measure: String| {
            let key = (criterion.name.clone(), measure);
            measurements.get(&key).cloned().unwrap_or_else(|| added_meanwhile(key.1))
        };
        criterion.measurements = measures.into_iter().map(measured).collect();
        criterion
    };
    let criteria = rows.into_iter().map(with_measurements).collect();
    Ok(Snapshot { gate, release, taken_at, criteria, alterations })
}

/// A measure that another session added after the measurements.
fn added_meanwhile(measure: String) -> Measurement {
    Measurement {
        measure,
        outcome: Outcome::NoData,
        detail: "the criterion changed during the decision".to_owned(),
        action: None,
        fresh_until: None,
        caveat: None,
        note: None,
    }
}

fn read_criteria(gate: Gate, release: Option<&str>) -> Result<Vec<CriterionRow>, ReadinessError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../sql/readiness/criteria.sql");
            let mut rows = Vec::new();
            let future = Instant(clock::now()).plus(CLOCK_TOLERANCE);
            let future = TimestampWithTimeZone::try_from(future.0).ok();
            let arguments = [gate.as_str().into(), release.into(), future.into()];
            for row in client.select(sql, None, &arguments)? {
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                let time = |column| {
                    row.get::<TimestampWithTimeZone>(column)
                        .map(|time| time.map(|time| Instant(time.into_inner())))
                };
                let evidence = |first| {
                    Ok::<_, ReadinessError>(
                        match (row.get::<String>(first)?, time(first + 1)?, time(first + 2)?) {
                            (Some(id), Some(recorded_at), Some(fresh_until)) => Some(Evidence {
                                id,
                                recorded_at,
                                fresh_until,
                                by: text(first + 3)?,
                                answered_by: None,
                            }),
                            _ => None,
                        },
                    )
                };
                let last_run = match (row.get::<bool>(14)?, time(15)?, time(16)?) {
                    (Some(passed), Some(at), Some(fresh_until)) => Some(LastRun {
                        passed,
                        at,
                        fresh_until,
                        is_current: row.get(17)?.unwrap_or(false),
                    }),
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
                let answered_by: Option<String> = row.get(23)?;
                let objection = evidence(10)?.map(|evidence| Evidence { answered_by, ..evidence });
                rows.push(CriterionRow {
                    criterion: Criterion {
                        name: text(1)?,
                        category: text(2)?,
                        weight: row.get(3)?.unwrap_or(0),
                        is_blocker: row.get(4)?.unwrap_or(true),
                        measurements: Vec::new(),
                        recorded: evidence(6)?,
                        objection,
                        waiver,
                    },
                    measures: row.get(5)?.unwrap_or_default(),
                    last_run,
                });
            }
            Ok(rows)
        })
    })
}
