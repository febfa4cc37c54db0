//! The SQL functions of the sketch: support functions of the aggregates latency_sketch and
//! merge_sketches, and sketch_quantile.

use super::ddsketch::{MAX_NANOSECONDS, Sketch};
use super::encoding::InvalidSketch;
use crate::pg::fmgr::aggregate;
use crate::pg::fmgr::raw_arg::Numeric;
use crate::telemetry::error::TelemetryError;
use crate::telemetry::ingest::ondisk_numeric;
use pgrx::Internal;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

fn invalid(error: InvalidSketch) -> ErrorReport {
    TelemetryError::InvalidSketch(error).into()
}

/// A duration in milliseconds as nanoseconds.
pub fn nanoseconds(milliseconds: Numeric) -> Result<u64, TelemetryError> {
    milliseconds
        .with_bytes(|bytes| ondisk_numeric::milliseconds_as_nanoseconds(bytes, MAX_NANOSECONDS))
        .ok_or_else(|| {
            TelemetryError::InvalidDuration(milliseconds.to_string().chars().take(40).collect())
        })
}

#[pg_extern(schema = "crewsnow_ops", immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn latency_sketch_add(
    mut state: Internal,
    milliseconds: Option<Numeric>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    let sketch = aggregate::state::<Sketch>(&mut state, fcinfo);
    if let Some(milliseconds) = milliseconds {
        sketch.add(nanoseconds(milliseconds)?);
    }
    Ok(state)
}

#[pg_extern(schema = "crewsnow_ops", immutable, parallel_safe)]
fn latency_sketch_merge(
    mut state: Internal,
    sketch: Option<&[u8]>,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    let all = aggregate::state::<Sketch>(&mut state, fcinfo);
    sketch.map_or(Ok(()), |sketch| all.merge_bytes(sketch)).map_err(invalid)?;
    Ok(state)
}

#[pg_extern(schema = "crewsnow_ops", immutable, parallel_safe)]
fn latency_sketch_combine(
    mut state: Internal,
    other: Internal,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    let sketch = aggregate::state::<Sketch>(&mut state, fcinfo);
    aggregate::existing_state::<Sketch>(&other)
        .map_or(Ok(()), |other| sketch.merge(other))
        .map_err(invalid)?;
    Ok(state)
}

#[pg_extern(schema = "crewsnow_ops", immutable, parallel_safe, strict)]
fn latency_sketch_serialize(state: Internal) -> Option<Vec<u8>> {
    aggregate::existing_state::<Sketch>(&state).map(Sketch::encode)
}

#[pg_extern(schema = "crewsnow_ops", immutable, parallel_safe, strict)]
fn latency_sketch_deserialize(
    bytes: &[u8],
    _unused: Internal,
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Internal, ErrorReport> {
    let mut state = Internal::default();
    aggregate::state::<Sketch>(&mut state, fcinfo).merge_bytes(bytes).map_err(invalid)?;
    Ok(state)
}

#[pg_extern(schema = "crewsnow_ops", immutable, parallel_safe)]
fn latency_sketch_final(state: Internal) -> Option<Vec<u8>> {
    aggregate::existing_state::<Sketch>(&state).map(Sketch::encode)
}

/// A quantile in milliseconds. See the COMMENT on the SQL function.
///
/// SQLSTATE 22P03 (not a sketch), 22023 (not a quantile).
#[pg_extern(schema = "crewsnow_ops", immutable, parallel_safe, strict)]
fn sketch_quantile(p_sketch: &[u8], p_quantile: f64) -> Result<Option<f64>, ErrorReport> {
    if !(0.0..=1.0).contains(&p_quantile) {
        return Err(TelemetryError::InvalidQuantile(p_quantile).into());
    }
    let sketch = Sketch::decode(p_sketch).map_err(invalid)?;
    Ok(sketch.quantile(p_quantile).map(|nanoseconds| nanoseconds / 1e6))
}
