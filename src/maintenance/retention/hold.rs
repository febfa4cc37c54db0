//! The hold of a policy: one boolean expression over a row. The server analyses it, and does not
//! run it.

use super::clauses::Clauses;
use super::error::RetentionError;
use super::policy::Policy;
use super::target::Target;
use crate::pg::xact::subtransaction::isolated;
use pgrx::prelude::*;

/// Refuses a hold that is no boolean expression over a row of the policy's table.
///
/// It must be one as it stands and in parentheses. So no parenthesis of its own can end the
/// condition early, and neither a clause nor a second statement can follow it.
pub fn check(policy: &Policy, target: &Target) -> Result<(), RetentionError> {
    let Some(hold) = &policy.hold else { return Ok(()) };
    let clauses = Clauses::read(policy, target.table, target.table)?;
    let relation = &clauses.relation;
    for sql in [
        format!("SELECT\n{hold}\nFROM {relation}"),
        format!("SELECT FROM {relation} WHERE {}", clauses.is_released),
    ] {
        let analyse = || Spi::connect(|client| client.prepare(sql.as_str(), &[]).map(drop));
        let analysed = isolated(analyse);
        let invalid = |code, message| RetentionError::InvalidHold {
            table: target.name.clone(),
            code,
            message,
        };
        match analysed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return Err(invalid(PgSqlErrorCode::ERRCODE_SYNTAX_ERROR, error.to_string()));
            }
            Err(failure) => return Err(invalid(failure.code, failure.message)),
        }
    }
    Ok(())
}
