//! The four access levels. Granting one gives a role exactly its privileges.

use crate::error::{SqlError, reportable};
use crate::pg::catalog::lookup;
use crate::pg::error::{ServerError, from_server_failures};
use crate::pg::fmgr::spi;
use crate::pg::xact::sec_context;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::spi::{SpiClient, quote_identifier};
use std::collections::BTreeSet;

/// Each access level with the levels that it includes.
const LEVELS: [(&str, &[&str]); 4] = [
    ("reader", &["reader"]),
    ("writer", &["writer"]),
    ("operator", &["reader", "writer", "operator"]),
    ("admin", &["reader", "writer", "operator", "admin"]),
];

/// Gives a role exactly the privileges of a level. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22023 (unknown level, the owner), 42704 (unknown role), 42501
/// (not the owner).
#[pg_extern(schema = "crewsnow_ops", requires = ["access"])]
#[search_path(pg_catalog, pg_temp)]
fn grant_access(p_role: Option<&str>, p_level: Option<&str>) -> Result<(), ErrorReport> {
    const EXAMPLE: &str = "SELECT crewsnow_ops.grant_access('oncall', 'operator');";
    let role = known_role(p_role, EXAMPLE)?;
    let level =
        p_level.ok_or(ServerError::NullArgument { argument: "p_level", example: EXAMPLE })?;
    let included = LEVELS.iter().find(|(known, _)| *known == level).map(|(_, included)| *included);
    let included = included.ok_or_else(|| AccessError::UnknownAccessLevel(level.to_owned()))?;
    spi::connect_mut(|client| {
        revoke_all(client, role)?;
        for privilege in privileges(client, included)? {
            privilege.grant(client, role)?;
        }
        Ok::<_, AccessError>(())
    })?;
    Ok(())
}

/// Revokes every privilege that [`grant_access`] can grant.
///
/// SQLSTATE 22004 (NULL argument), 22023 (the owner), 42704 (unknown role), 42501 (not the owner).
#[pg_extern(schema = "crewsnow_ops", requires = ["access"])]
#[search_path(pg_catalog, pg_temp)]
fn revoke_access(p_role: Option<&str>) -> Result<(), ErrorReport> {
    let role = known_role(p_role, "SELECT crewsnow_ops.revoke_access('oncall');")?;
    spi::connect_mut(|client| revoke_all(client, role))?;
    Ok(())
}

/// The role, which must exist and must not be the owner: the owner would lose its own privileges.
/// PUBLIC is not a role, so it can get no access level.
fn known_role<'a>(role: Option<&'a str>, example: &'static str) -> Result<&'a str, AccessError> {
    let role = role.ok_or(ServerError::NullArgument { argument: "p_role", example })?;
    let oid = lookup::role(role).ok_or_else(|| ServerError::UnknownRole(role.to_owned()))?;
    if lookup::owner_of_own_table(c"access_privileges") == Some(oid) {
        return Err(AccessError::OwnerNeedsNoAccess(role.to_owned()));
    }
    Ok(role)
}

struct Privilege {
    privileges: String,
    object: String,
}

impl Privilege {
    // GRANT takes no parameters. The install script has quoted the object's name.
    fn grant(&self, client: &mut SpiClient<'_>, role: &str) -> Result<(), AccessError> {
        let Self { privileges, object } = self;
        client.update(
            format!("GRANT {privileges} ON {object} TO {}", quote_identifier(role)).as_str(),
            None,
            &[],
        )?;
        Ok(())
    }
}

/// Revokes all privileges on the extension's objects, also those granted by hand.
fn revoke_all(client: &mut SpiClient<'_>, role: &str) -> Result<(), AccessError> {
    let objects: BTreeSet<String> = privileges(client, &LEVELS.map(|(level, _)| level))?
        .into_iter()
        .map(|privilege| privilege.object)
        .collect();
    for object in objects {
        client.update(
            format!("REVOKE ALL ON {object} FROM {}", quote_identifier(role)).as_str(),
            None,
            &[],
        )?;
    }
    Ok(())
}

fn privileges(client: &SpiClient<'_>, levels: &[&str]) -> Result<Vec<Privilege>, AccessError> {
    let levels: Vec<String> = levels.iter().map(|level| (*level).to_owned()).collect();
    client
        .select(include_str!("../sql/access/access_privileges.sql"), None, &[levels.into()])?
        .map(|row| {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            Ok(Privilege { privileges: text(1)?, object: format!("{} {}", text(2)?, text(3)?) })
        })
        .collect()
}

/// Runs `work` with the privileges of the extension's owner. So its callers need EXECUTE on a
/// function, and no privilege on the tables behind it.
pub fn as_owner<R, E: From<ServerError>>(work: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    let owner =
        lookup::owner_of_own_table(c"access_privileges").ok_or(ServerError::NotInstalled)?;
    sec_context::as_role(owner, work)
}

/// Access that cannot be granted or revoked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// SQLSTATE 22023
    #[error("role \"{0}\" owns the extension and needs no access level")]
    OwnerNeedsNoAccess(String),
    /// SQLSTATE 22023
    #[error("access level \"{0}\" does not exist")]
    UnknownAccessLevel(String),
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl SqlError for AccessError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        match self {
            Self::OwnerNeedsNoAccess(_) | Self::UnknownAccessLevel(_) => {
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE
            }
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::OwnerNeedsNoAccess(_) => {
                "The owner has every privilege. Nothing was changed.".into()
            }
            Self::UnknownAccessLevel(_) => {
                "The access levels are reader, writer, operator and admin.".into()
            }
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::OwnerNeedsNoAccess(_) | Self::UnknownAccessLevel(_) => {
                "SELECT crewsnow_ops.grant_access('oncall', 'operator');".into()
            }
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(AccessError);
from_server_failures!(AccessError);
