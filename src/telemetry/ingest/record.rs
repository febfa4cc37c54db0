//! Functions that write events and webhooks, with the privileges of the caller. They correct bad
//! values, because an error would end the caller's transaction. INSERT and COPY meet CHECK
//! constraints instead.

use super::correction::{Corrections, MAX_NAME, NO_TYPE, UNKNOWN_FUNCTION};
use super::ondisk_numeric::OutOfRange;
use super::{json_text, ondisk_jsonb, ondisk_numeric};
use crate::pg::builtins;
use crate::pg::error::ServerError;
use crate::pg::fmgr::raw_arg::{Any, Json, Jsonb, Numeric};
use crate::pg::fmgr::spi;
use crate::pg::fmgr::spi::{PreparedOnce, in_target_schema};
use crate::pg::storage::direct_insert::{Preconditions, insert};
use crate::pg::xact::session::require_writable;
use crate::telemetry::error::TelemetryError;
use crate::telemetry::rollup::events::target_table;
use crate::telemetry::sketch::aggregates::nanoseconds;
use crate::telemetry::sketch::ddsketch::MAX_NANOSECONDS;
use pgrx::Uuid;
use pgrx::datum::Inet;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The longest Stripe event id, in bytes.
const MAX_EVENT_ID: usize = 255;
/// An upper bound of the bytes that status_code and corrections add to a payload.
const ADDED: usize = 4_096;
/// A longer JSON text is dropped unread, in bytes.
const MAX_TEXT: usize = 4_194_304;
/// The longest status code that an oversized payload leaves behind, in bytes of its text.
const MAX_STATUS_CODE: usize = 20;
/// The largest payload, in bytes of the on-disk format before compression.
const MAX_PAYLOAD: usize = 262_144;

static INSERT: PreparedOnce = PreparedOnce::new(
    include_str!("../../../sql/telemetry/insert_event.sql"),
    &[
        pg_sys::UUIDOID,
        pg_sys::TEXTOID,
        pg_sys::UUIDOID,
        pg_sys::JSONBOID,
        pg_sys::NUMERICOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::INETOID,
        pg_sys::TEXTOID,
    ],
);

/// A checked event satisfies the CHECK constraint and the trigger, so neither has to run.
const CHECKED: Preconditions<'static> = Preconditions {
    check: c"is_valid_event",
    trigger: c"event_log_before_insert",
    time: c"created_at",
    transaction: c"tx",
};

/// An event that has been checked or corrected.
struct Event<'a> {
    event_type: &'a str,
    user_id: Option<Uuid>,
    payload: Option<Jsonb>,
    execution_time_ms: Option<Numeric>,
    function_name: Option<&'a str>,
    endpoint: Option<&'a str>,
    ip_address: Option<Inet>,
    user_agent: Option<&'a str>,
}

impl Event<'_> {
    fn write(self) -> Result<Uuid, TelemetryError> {
        require_writable("write an event")?;
        let id = builtins::new_uuid();
        let arguments = [
            (c"id", id.into()),
            (c"event_type", self.event_type.into()),
            (c"user_id", self.user_id.into()),
            (c"payload", Jsonb::bind(self.payload)),
            (c"execution_time_ms", Numeric::bind(self.execution_time_ms)),
            (c"function_name", self.function_name.into()),
            (c"endpoint", self.endpoint.into()),
            (c"ip_address", self.ip_address.into()),
            (c"user_agent", self.user_agent.into()),
        ];
        if !insert(target_table(c"event_log")?, &CHECKED, &arguments) {
            INSERT.run(&arguments.map(|(_, argument)| argument))?;
        }
        Ok(id)
    }
}

/// The CHECK of event_log. NULLs pass; NOT NULL constraints handle those.
#[pg_extern(schema = "crewsnow_ops", immutable, parallel_safe)]
fn is_valid_event(
    event_type: Option<&str>,
    function_name: Option<&str>,
    execution_time_ms: Option<Numeric>,
    payload: Option<Jsonb>,
    created_at: Option<TimestampWithTimeZone>,
) -> bool {
    let is_name = |name: Option<&str>| name.is_none_or(|name| (1..=MAX_NAME).contains(&name.len()));
    is_name(event_type)
        && is_name(function_name)
        && execution_time_ms.is_none_or(|time| nanoseconds(time).is_ok())
        && payload.is_none_or(|payload| {
            payload.size() <= MAX_PAYLOAD && payload.with_bytes(ondisk_jsonb::is_object)
        })
        && created_at.is_none_or(|time| !matches!(time.into_inner(), i64::MIN | i64::MAX))
}

/// A payload as it was given; `None` is NULL.
enum Payload<'a> {
    Jsonb(Option<Jsonb>),
    Text(Option<&'a str>),
}

/// A duration from 0 to 24 hours: one out of range is set to the nearest end, NaN to NULL.
fn duration(given: Option<Numeric>, corrections: &mut Corrections) -> Option<Numeric> {
    const LONGEST: i64 = (MAX_NANOSECONDS / 1_000_000) as i64;
    let given = given?;
    let read = |bytes: &[u8]| {
        ondisk_numeric::milliseconds_as_nanoseconds(bytes, MAX_NANOSECONDS)
            .ok_or_else(|| ondisk_numeric::out_of_range(bytes))
    };
    let Err(out_of_range) = given.with_bytes(read) else { return Some(given) };
    corrections.note("execution_time_ms", Some(&given.to_string()));
    match out_of_range {
        OutOfRange::NotANumber => None,
        OutOfRange::Negative => Some(Numeric::from_integer(0)),
        OutOfRange::TooLong => Some(Numeric::from_integer(LONGEST)),
    }
}

/// A JSON object: text is repaired, any other value becomes the object's key `value`.
fn object(given: Payload<'_>, corrections: &mut Corrections) -> Option<Jsonb> {
    let value = match given {
        Payload::Jsonb(value) => value?,
        Payload::Text(text) => {
            let text = text?;
            if text.len() > MAX_TEXT {
                corrections.note("payload", Some(&size(text.len())));
                return None;
            }
            if json_text::is_harmless(text) {
                Jsonb::parse(text)
            } else {
                let repaired = json_text::repaired(text);
                let Ok(value) = Jsonb::try_parse(&repaired) else {
                    corrections.note("payload", Some(text));
                    return Some(as_value(&serde_json::Value::from(text).to_string()));
                };
                if *repaired != *text {
                    corrections.note("payload", Some(text));
                }
                value
            }
        }
    };
    if value.with_bytes(ondisk_jsonb::is_object) {
        return Some(value);
    }
    if value.size() > MAX_PAYLOAD {
        corrections.note("payload", Some(&size(value.size())));
        return None;
    }
    let text = value.text();
    corrections.note("payload", Some(&text));
    Some(as_value(&text))
}

fn as_value(json: &str) -> Jsonb {
    Jsonb::parse(&format!("{{\"value\": {json}}}"))
}

fn size(bytes: usize) -> String {
    format!("{} kB", bytes.div_ceil(1024))
}

/// The payload to store: an object of limited size, with the status code and the corrections. Of
/// an oversized one only its status code is left.
fn stored(
    given: Payload<'_>,
    status_code: Option<u16>,
    mut corrections: Corrections,
) -> Option<Jsonb> {
    let mut payload = object(given, &mut corrections);
    let added = if status_code.is_some() || !corrections.is_empty() { ADDED } else { 0 };
    if let Some(large) = payload.filter(|payload| payload.size() > MAX_PAYLOAD - added) {
        corrections.note("payload", Some(&size(large.size())));
        let code = large.field("status_code").map(Jsonb::text);
        payload = code
            .filter(|code| code.len() <= MAX_STATUS_CODE)
            .map(|code| Jsonb::parse(&format!("{{\"status_code\": {code}}}")));
    }
    let status_code = status_code.map(|code| format!("{{\"status_code\": {code}}}"));
    let corrections = (!corrections.is_empty()).then(|| corrections.to_json());
    for addition in status_code.iter().chain(&corrections) {
        let addition = Jsonb::parse(addition);
        payload = Some(payload.map_or(addition, |payload| payload.concat(addition)));
    }
    payload
}

fn write_event(
    event_type: Option<&str>,
    user_id: Option<Uuid>,
    payload: Payload<'_>,
    execution_time_ms: Option<Numeric>,
    function_name: Option<&str>,
) -> Result<Uuid, ErrorReport> {
    let mut corrections = Corrections::default();
    let event_type = corrections.name("event_type", event_type, NO_TYPE);
    let function_name =
        function_name.map(|name| corrections.name("function_name", Some(name), UNKNOWN_FUNCTION));
    let execution_time_ms = duration(execution_time_ms, &mut corrections);
    let event = Event {
        event_type: &event_type,
        user_id,
        payload: stored(payload, None, corrections),
        execution_time_ms,
        function_name: function_name.as_deref(),
        endpoint: None,
        ip_address: None,
        user_agent: None,
    };
    Ok(event.write()?)
}

/// Writes an event. See the COMMENT on the SQL function.
///
/// SQLSTATE 25006 (read-only). Bad values are corrected.
#[pg_extern(requires = ["telemetry"])]
fn log_system_event(
    p_event_type: Option<&str>,
    p_user_id: default!(Option<Uuid>, "NULL"),
    p_payload: default!(Option<Jsonb>, "'{}'"),
    p_execution_time_ms: default!(Option<Numeric>, "NULL"),
    p_function_name: default!(Option<&str>, "NULL"),
) -> Result<Uuid, ErrorReport> {
    let payload = Payload::Jsonb(p_payload);
    write_event(p_event_type, p_user_id, payload, p_execution_time_ms, p_function_name)
}

/// The same for a duration in double precision.
///
/// The parameters of the four other forms have names of their own, so that a call by name, as
/// PostgREST makes it, still fits one function.
#[pg_extern(name = "log_system_event", requires = ["telemetry"])]
fn log_system_event_float(
    p_event_type: Option<&str>,
    p_user_id: Option<Uuid>,
    p_payload: Option<Jsonb>,
    p_milliseconds: Option<f64>,
    p_function_name: default!(Option<&str>, "NULL"),
) -> Result<Uuid, ErrorReport> {
    let time = p_milliseconds.map(Numeric::from_float);
    write_event(p_event_type, p_user_id, Payload::Jsonb(p_payload), time, p_function_name)
}

/// The same for a payload as text, which may hold escapes that jsonb refuses.
#[pg_extern(name = "log_system_event", requires = ["telemetry"])]
fn log_system_event_text(
    p_event_type: Option<&str>,
    p_user_id: Option<Uuid>,
    p_payload_text: Option<&str>,
    p_execution_time_ms: Option<Numeric>,
    p_function_name: default!(Option<&str>, "NULL"),
) -> Result<Uuid, ErrorReport> {
    let payload = Payload::Text(p_payload_text);
    write_event(p_event_type, p_user_id, payload, p_execution_time_ms, p_function_name)
}

/// The same for a payload as text and a duration in double precision.
#[pg_extern(name = "log_system_event", requires = ["telemetry"])]
fn log_system_event_text_float(
    p_event_type: Option<&str>,
    p_user_id: Option<Uuid>,
    p_payload_text: Option<&str>,
    p_milliseconds: default!(Option<f64>, "NULL"),
    p_function_name: default!(Option<&str>, "NULL"),
) -> Result<Uuid, ErrorReport> {
    let time = p_milliseconds.map(Numeric::from_float);
    write_event(p_event_type, p_user_id, Payload::Text(p_payload_text), time, p_function_name)
}

/// The same for a payload as json and a duration in double precision.
#[pg_extern(name = "log_system_event", requires = ["telemetry"])]
fn log_system_event_json_float(
    p_event_type: Option<&str>,
    p_user_id: Option<Uuid>,
    p_payload_json: Option<Json>,
    p_milliseconds: default!(Option<f64>, "NULL"),
    p_function_name: default!(Option<&str>, "NULL"),
) -> Result<Uuid, ErrorReport> {
    let time = p_milliseconds.map(Numeric::from_float);
    let text = p_payload_json.map(Json::text);
    let payload = Payload::Text(text.as_deref());
    write_event(p_event_type, p_user_id, payload, time, p_function_name)
}

/// The origin of a request.
struct Request<'a> {
    user_id: Option<Uuid>,
    endpoint: Option<&'a str>,
    ip_address: Option<Inet>,
    user_agent: Option<&'a str>,
}

fn write_call(
    function_name: Option<&str>,
    execution_time_ms: Option<Numeric>,
    status_code: Option<f64>,
    request: Request<'_>,
    payload: Option<Any>,
) -> Result<Uuid, ErrorReport> {
    let mut corrections = Corrections::default();
    let function_name = corrections.name("function_name", function_name, UNKNOWN_FUNCTION);
    let execution_time_ms = duration(execution_time_ms, &mut corrections);
    let status_code = corrections.status(status_code);
    let text = payload.filter(|payload| payload.jsonb().is_none()).map(Any::text);
    let payload = match &text {
        Some(text) => Payload::Text(Some(text)),
        None => Payload::Jsonb(payload.and_then(Any::jsonb)),
    };
    let event = Event {
        event_type: "edge_function_call",
        user_id: request.user_id,
        payload: stored(payload, status_code, corrections),
        execution_time_ms,
        function_name: Some(&function_name),
        endpoint: request.endpoint,
        ip_address: request.ip_address,
        user_agent: request.user_agent,
    };
    Ok(event.write()?)
}

/// Writes the call of an Edge Function. See the COMMENT on the SQL function.
///
/// Numbers of every type become double precision, so that one function fits all callers, also those
/// that choose it by the names of its arguments. SQLSTATE 25006 (read-only). Bad values are
/// corrected.
#[pg_extern(schema = "crewsnow_ops", requires = ["telemetry"])]
#[allow(clippy::too_many_arguments)]
fn record_edge_call(
    p_function_name: Option<&str>,
    p_execution_time_ms: Option<f64>,
    p_status_code: Option<f64>,
    p_user_id: default!(Option<Uuid>, "NULL"),
    p_endpoint: default!(Option<&str>, "NULL"),
    p_ip_address: default!(Option<Inet>, "NULL"),
    p_user_agent: default!(Option<&str>, "NULL"),
    p_payload: default!(Option<Any>, "'{}'::pg_catalog.jsonb"),
) -> Result<Uuid, ErrorReport> {
    let request = Request {
        user_id: p_user_id,
        endpoint: p_endpoint,
        ip_address: p_ip_address,
        user_agent: p_user_agent,
    };
    let time = p_execution_time_ms.map(Numeric::from_float);
    write_call(p_function_name, time, p_status_code, request, p_payload)
}

/// Records a webhook. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL id), 22023 (empty or too long id), 25006 (read-only). A bad type or payload
/// is corrected.
#[pg_extern(schema = "crewsnow_ops", requires = ["telemetry"])]
#[search_path(pg_catalog, pg_temp)]
fn record_stripe_webhook(
    p_event_id: Option<&str>,
    p_event_type: Option<&str>,
    p_succeeded: default!(Option<bool>, "true"),
    p_error: default!(Option<&str>, "NULL"),
    p_payload: default!(Option<Any>, "NULL::pg_catalog.jsonb"),
) -> Result<i32, ErrorReport> {
    const EXAMPLE: &str =
        "SELECT crewsnow_ops.record_stripe_webhook('evt_1', 'invoice.paid', true);";
    let argument = "p_event_id";
    let event_id = p_event_id.ok_or(ServerError::NullArgument { argument, example: EXAMPLE })?;
    let (length, limit) = (event_id.len(), MAX_EVENT_ID);
    if !(1..=limit).contains(&length) {
        let error = TelemetryError::InvalidText { argument, example: EXAMPLE, limit, length };
        return Err(error.into());
    }
    require_writable("record a webhook")?;
    let mut corrections = Corrections::default();
    let event_type = corrections.name("event_type", p_event_type, NO_TYPE);
    let payload = match p_payload.map(|payload| (payload.jsonb(), payload)) {
        None => None,
        Some((Some(payload), _)) => Some(payload),
        Some((None, payload)) => {
            object(Payload::Text(Some(&payload.text())), &mut Corrections::default())
        }
    };
    let status = match p_succeeded {
        None => "received",
        Some(true) => "processed",
        Some(false) => "failed",
    };
    let sql = in_target_schema(include_str!("../../../sql/telemetry/record_webhook.sql"))?;
    let arguments = [
        event_id.into(),
        (&*event_type).into(),
        status.into(),
        p_error.into(),
        Jsonb::bind(payload),
    ];
    let attempts = spi::connect_mut(|client| {
        client
            .update(sql.as_str(), Some(1), &arguments)?
            .first()
            .get_one::<i32>()
            .map_err(TelemetryError::from)
    })?;
    Ok(attempts.unwrap_or(0))
}
