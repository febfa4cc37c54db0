//! The role as which a rule's query runs.
//!
//! It is that of the author. A superuser's query runs as the owner of the objects that it uses, so
//! that their code gains nothing.

use super::error::AlertError;
use super::sandbox::enter;
use crate::pg::catalog::{lookup, owners, privilege};
use crate::pg::error::ServerError;
use crate::pg::fmgr::spi;
use crate::pg::rewrite::evaluation::Objects;
use crate::pg::xact::sec_context::Sandbox;
use crate::pg::xact::snapshot::with_latest_snapshot;
use pgrx::prelude::*;

/// The author of a query.
#[derive(Clone, Copy)]
pub enum Author {
    /// A role whose rights are those of the query.
    Role(pg_sys::Oid),
    /// A superuser. See [`Author::demote`].
    Superuser(pg_sys::Oid),
}

impl Author {
    /// The author of this name. The owner of the extension is that of a built-in rule.
    pub fn of(is_built_in: bool, name: &str) -> Result<Self, AlertError> {
        if is_built_in {
            let owner = lookup::owner_of_own_table(c"access_privileges");
            return Ok(Self::Role(owner.ok_or(ServerError::NotInstalled)?));
        }
        let role = lookup::role(name).ok_or_else(|| AlertError::UnknownAuthor(name.to_owned()))?;
        Ok(if privilege::is_superuser(role) { Self::Superuser(role) } else { Self::Role(role) })
    }

    /// The role.
    pub fn oid(self) -> pg_sys::Oid {
        match self {
            Self::Role(role) | Self::Superuser(role) => role,
        }
    }

    /// From here on a superuser's sandbox runs as the owner of the objects, if that is no
    /// superuser. It sees as many rows as the superuser.
    pub fn demote(self, sandbox: &Sandbox, objects: &Objects) -> Result<(), AlertError> {
        if let Some(name) = owners::runs_queries(objects) {
            return Err(AlertError::RunsQueries(name));
        }
        if owners::are_plainly_superusers(objects) {
            return Ok(());
        }
        match lesser_owners(objects)?.as_slice() {
            [] => Ok(()),
            [only] => {
                let role = lookup::role(only);
                let role = role.ok_or_else(|| AlertError::UnknownAuthor(only.clone()))?;
                enter(sandbox, role);
                sandbox.see_own_rows();
                Ok(())
            }
            several => Err(AlertError::SeveralOwners(several.join(", "))),
        }
    }
}

/// The owners that are no superusers, as the catalogs are now: the names were resolved there, too.
fn lesser_owners(objects: &Objects) -> Result<Vec<String>, AlertError> {
    let oids = |objects: &mut dyn Iterator<Item = &u32>| {
        objects.map(|oid| pg_sys::Oid::from(*oid)).collect::<Vec<_>>()
    };
    let arguments = [
        oids(&mut objects.relations.iter()).into(),
        oids(&mut objects.functions.iter().chain(&objects.other_functions)).into(),
        oids(&mut objects.types.iter()).into(),
    ];
    let sql = include_str!("../../sql/alerts/lesser_owners.sql");
    with_latest_snapshot(|| {
        spi::select_kept(sql, &arguments, |rows| {
            rows.map(|row| row.get::<String>(1)?.ok_or(AlertError::ObjectsChanged)).collect()
        })
    })
}
