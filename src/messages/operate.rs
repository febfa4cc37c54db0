//! The acts of an operator: try a channel, and replay messages that died.

use super::error::MessageError;
use super::pure::message::Kind;
use super::send::{Facts, add, require_channel};
use crate::access::as_owner;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::xact::{lock_wait, session};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

const TEST_EXAMPLE: &str = "SELECT crewsnow_ops.test_channel('ops');";
const REPAIR_EXAMPLE: &str = "SELECT crewsnow_ops.repair_channel('ops');";
const REPLAY_EXAMPLE: &str =
    "SELECT crewsnow_ops.replay_messages('ops', now() - interval '1 day', now());";

/// Adds a test message to a channel. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 22023, 25006, 42704, 55000.
#[pg_extern(sql = false)]
fn test_channel(p_channel: Option<&str>) -> Result<i64, ErrorReport> {
    let channel = p_channel
        .ok_or(ServerError::NullArgument { argument: "p_channel", example: TEST_EXAMPLE })?;
    session::require_writable("test a channel")?;
    let text = format!("Test of channel {channel}, by {}.", session::user());
    let facts = Facts { data: json!({ "text": text }), thread: None, key: None };
    Ok(as_owner(|| add(channel, Kind::Test, facts))?)
}

/// Queues dead messages again. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 22023, 25006, 42704.
#[pg_extern(sql = false)]
fn replay_messages(
    p_channel: Option<&str>,
    p_from: Option<TimestampWithTimeZone>,
    p_to: Option<TimestampWithTimeZone>,
) -> Result<i64, ErrorReport> {
    let given = |argument| ServerError::NullArgument { argument, example: REPLAY_EXAMPLE };
    let channel = p_channel.ok_or_else(|| given("p_channel"))?;
    let from = p_from.ok_or_else(|| given("p_from"))?;
    let to = p_to.ok_or_else(|| given("p_to"))?;
    session::require_writable("replay messages")?;
    let replayed = as_owner(|| {
        require_channel(channel)?;
        spi::connect_mut(|client| {
            let sql = include_str!("../../sql/messages/replay.sql");
            let rows = client.update(sql, None, &[channel.into(), from.into(), to.into()])?;
            let mut replayed = 0_i64;
            for row in rows {
                replayed += i64::from(!row.get::<bool>(2)?.unwrap_or(false));
            }
            Ok::<_, MessageError>(replayed)
        })
    })?;
    Ok(replayed)
}

/// Lets a channel send again. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004, 25006, 42704, 55P03.
#[pg_extern(sql = false)]
fn repair_channel(p_channel: Option<&str>) -> Result<i64, ErrorReport> {
    let channel = p_channel
        .ok_or(ServerError::NullArgument { argument: "p_channel", example: REPAIR_EXAMPLE })?;
    session::require_writable("repair a channel")?;
    let waiting = lock_wait::limited(|| {
        as_owner(|| {
            require_channel(channel)?;
            spi::connect_mut(|client| {
                let sql = include_str!("../../sql/messages/repair.sql");
                let rows = client.update(sql, None, &[channel.into()])?;
                Ok::<_, MessageError>(rows.first().get::<i64>(1)?.unwrap_or(0))
            })
        })
    });
    Ok(waiting.map_err(|timeout| ServerError::locked("the state of the channel", timeout))??)
}
