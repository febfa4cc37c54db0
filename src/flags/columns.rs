//! The columns of `feature_flags`, read from the catalog: a column that an upgrade or a team adds
//! is restored like the others, without a second list to keep.

use super::error::FlagError;
use crate::pg::catalog::lookup;
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi::in_target_schema;
use pgrx::prelude::*;

/// The parts of a flag that never change, and those that its triggers keep.
const KEPT: [&str; 4] = ["id", "rollout_group", "updated_at", "last_checked_at"];

/// The parts of a flag that never change.
const FIXED: [&str; 2] = ["id", "rollout_group"];

/// The statement that restores the present flags to an earlier state.
pub fn restore_change() -> Result<String, FlagError> {
    with_columns(include_str!("../../sql/flags/restore_change.sql"), &KEPT)
}

/// The statement by which a dumped row replaces a launch flag, bookkeeping columns included.
pub fn replace_launch_flag() -> Result<String, FlagError> {
    with_columns(include_str!("../../sql/flags/replace_launch_flag.sql"), &FIXED)
}

/// Replaces `@columns@` by the column names, and `@x.columns@` by the same as columns of `x`.
fn with_columns(sql: &str, except: &[&str]) -> Result<String, FlagError> {
    let table = lookup::target_schema()
        .and_then(|schema| lookup::table_in(schema, c"feature_flags"))
        .ok_or(ServerError::NotInstalled)?;
    let except: Vec<String> = except.iter().map(|name| (*name).to_owned()).collect();
    let columns = Spi::connect(|client| {
        client
            .select(
                include_str!("../../sql/flags/columns.sql"),
                None,
                &[table.into(), except.into()],
            )?
            .map(|row| Ok(row.get::<String>(1)?.unwrap_or_default()))
            .collect::<Result<Vec<_>, FlagError>>()
    })?;
    let mut sql = in_target_schema(sql)?.replace("@columns@", &columns.join(", "));
    for alias in ["f", "n", "s"] {
        let qualified: Vec<String> =
            columns.iter().map(|column| format!("{alias}.{column}")).collect();
        sql = sql.replace(&format!("@{alias}.columns@"), &qualified.join(", "));
    }
    Ok(sql)
}
