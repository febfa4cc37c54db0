//! Functions that write events and webhooks, with errors that name the defect. They run with the
//! privileges of the caller. CHECK constraints apply the same rules to INSERT and COPY.

use super::ondisk_jsonb;
use crate::pg::builtins;
use crate::pg::error::ServerError;
use crate::pg::fmgr::raw_arg::{Jsonb, Numeric};
use crate::pg::fmgr::spi::{PreparedOnce, in_target_schema};
use crate::pg::storage::direct_insert::{Preconditions, insert};
use crate::pg::xact::session::require_writable;
use crate::telemetry::error::TelemetryError;
use crate::telemetry::rollup::events::target_table;
use crate::telemetry::sketch::aggregates::nanoseconds;
use pgrx::Uuid;
use pgrx::datum::Inet;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The longest event type and function name, in bytes.
const MAX_NAME: usize = 200;
/// The longest Stripe event id, in bytes.
const MAX_EVENT_ID: usize = 255;
/// An upper bound of the bytes that status_code adds to a payload.
const STATUS_CODE: usize = 64;
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

/// An event that has been checked.
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
        && check_duration(execution_time_ms).is_ok()
        && check_payload(payload, 0).is_ok()
        && created_at.is_none_or(|time| !matches!(time.into_inner(), i64::MIN | i64::MAX))
}

fn check_text(
    argument: &'static str,
    text: Option<&str>,
    limit: usize,
    example: &'static str,
) -> Result<(), TelemetryError> {
    match text.map(str::len) {
        Some(length) if length == 0 || length > limit => {
            Err(TelemetryError::InvalidText { argument, example, limit, length })
        }
        _ => Ok(()),
    }
}

fn check_duration(milliseconds: Option<Numeric>) -> Result<(), TelemetryError> {
    milliseconds.map_or(Ok(()), |milliseconds| nanoseconds(milliseconds).map(|_| ()))
}

fn check_payload(payload: Option<Jsonb>, added: usize) -> Result<(), TelemetryError> {
    let seen = match payload {
        Some(payload) if payload.size() + added > MAX_PAYLOAD => {
            format!("{} kB", payload.size() / 1024)
        }
        Some(payload) if !payload.with_bytes(ondisk_jsonb::is_object) => {
            "an array or a single value".into()
        }
        _ => return Ok(()),
    };
    Err(TelemetryError::InvalidPayload { seen })
}

/// Writes an event. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL type), 22023 (type, name, payload, execution time), 25006 (read-only).
#[pg_extern(requires = ["telemetry"])]
fn log_system_event(
    p_event_type: Option<&str>,
    p_user_id: default!(Option<Uuid>, "NULL"),
    p_payload: default!(Option<Jsonb>, "'{}'"),
    p_execution_time_ms: default!(Option<Numeric>, "NULL"),
    p_function_name: default!(Option<&str>, "NULL"),
) -> Result<Uuid, ErrorReport> {
    const EXAMPLE: &str =
        "SELECT log_system_event('sign_up_failed', NULL, '{\"reason\": \"captcha\"}');";
    let event_type = p_event_type
        .ok_or(ServerError::NullArgument { argument: "p_event_type", example: EXAMPLE })?;
    check_text("p_event_type", Some(event_type), MAX_NAME, EXAMPLE)?;
    check_text("p_function_name", p_function_name, MAX_NAME, EXAMPLE)?;
    check_duration(p_execution_time_ms)?;
    check_payload(p_payload, 0)?;
    let event = Event {
        event_type,
        user_id: p_user_id,
        payload: p_payload,
        execution_time_ms: p_execution_time_ms,
        function_name: p_function_name,
        endpoint: None,
        ip_address: None,
        user_agent: None,
    };
    Ok(event.write()?)
}

/// Writes the call of an Edge Function. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL name or status), 22023 (name, status, payload, execution time), 25006
/// (read-only).
#[pg_extern(schema = "crewsnow_ops", requires = ["telemetry"])]
#[allow(clippy::too_many_arguments)]
fn record_edge_call(
    p_function_name: Option<&str>,
    p_execution_time_ms: Option<Numeric>,
    p_status_code: Option<i32>,
    p_user_id: default!(Option<Uuid>, "NULL"),
    p_endpoint: default!(Option<&str>, "NULL"),
    p_ip_address: default!(Option<Inet>, "NULL"),
    p_user_agent: default!(Option<&str>, "NULL"),
    p_payload: default!(Option<Jsonb>, "'{}'"),
) -> Result<Uuid, ErrorReport> {
    const EXAMPLE: &str = "SELECT crewsnow_ops.record_edge_call('send-message', 41.5, 200);";
    let null = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let function_name = p_function_name.ok_or_else(|| null("p_function_name"))?;
    let status_code = p_status_code.ok_or_else(|| null("p_status_code"))?;
    check_text("p_function_name", Some(function_name), MAX_NAME, EXAMPLE)?;
    if !(100..=599).contains(&status_code) {
        return Err(TelemetryError::InvalidStatusCode(status_code).into());
    }
    check_duration(p_execution_time_ms)?;
    check_payload(p_payload, STATUS_CODE)?;
    let status = Jsonb::parse(&format!("{{\"status_code\": {status_code}}}"));
    let event = Event {
        event_type: "edge_function_call",
        user_id: p_user_id,
        payload: Some(p_payload.map_or(status, |payload| payload.concat(status))),
        execution_time_ms: p_execution_time_ms,
        function_name: Some(function_name),
        endpoint: p_endpoint,
        ip_address: p_ip_address,
        user_agent: p_user_agent,
    };
    Ok(event.write()?)
}

/// Records a webhook. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL id or type), 22023 (empty or too long id or type), 25006 (read-only).
#[pg_extern(schema = "crewsnow_ops", requires = ["telemetry"])]
#[search_path(pg_catalog, pg_temp)]
fn record_stripe_webhook(
    p_event_id: Option<&str>,
    p_event_type: Option<&str>,
    p_succeeded: default!(Option<bool>, "true"),
    p_error: default!(Option<&str>, "NULL"),
    p_payload: default!(Option<Jsonb>, "NULL"),
) -> Result<i32, ErrorReport> {
    const EXAMPLE: &str =
        "SELECT crewsnow_ops.record_stripe_webhook('evt_1', 'invoice.paid', true);";
    let null = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let event_id = p_event_id.ok_or_else(|| null("p_event_id"))?;
    let event_type = p_event_type.ok_or_else(|| null("p_event_type"))?;
    check_text("p_event_id", Some(event_id), MAX_EVENT_ID, EXAMPLE)?;
    check_text("p_event_type", Some(event_type), MAX_NAME, EXAMPLE)?;
    require_writable("record a webhook")?;
    let status = match p_succeeded {
        None => "received",
        Some(true) => "processed",
        Some(false) => "failed",
    };
    let sql = in_target_schema(include_str!("../../../sql/telemetry/record_webhook.sql"))?;
    let arguments =
        [event_id.into(), event_type.into(), status.into(), p_error.into(), Jsonb::bind(p_payload)];
    let attempts = Spi::connect_mut(|client| {
        client
            .update(sql.as_str(), Some(1), &arguments)?
            .first()
            .get_one::<i32>()
            .map_err(TelemetryError::from)
    })?;
    Ok(attempts.unwrap_or(0))
}
