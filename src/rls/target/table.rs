//! The audited tables: privileges of the client roles, owner columns and triggers.

use super::application::Application;
use super::owner_column::OwnerColumn;
use super::owners::{ParentTable, table_owners, user_columns};
use crate::pg::rewrite::row_security::{Command, RelationRef};
use crate::pg::rewrite::user_comparison::UserComparisons;
use crate::rls::error::RlsError;
use crate::rls::model::Reach;
use pgrx::prelude::*;
use std::collections::HashMap;

/// How many rows are read to sample owners.
const OWNER_SAMPLE_ROWS: u64 = 1000;

/// An audited table.
pub struct Table {
    /// Oid, quoted name and one column, as the query rewriter needs them.
    pub named: RelationRef,
    /// Whether row-level security is enabled.
    pub is_secured: bool,
    /// The planner's row estimate.
    pub estimated_rows: i64,
    /// Privileges of each role in `Application::roles`: letters of s, i, u, d.
    pub privileges: Vec<String>,
    /// Columns that name the account a row belongs to; empty if none is known.
    pub owners: Vec<OwnerColumn>,
    /// Columns that name other accounts whose row it also is.
    pub participants: Vec<OwnerColumn>,
    /// Name of a column that names a team, not quoted; `None` if there is none.
    pub team: Option<String>,
    /// The referenced tables whose rows have owners, if this one has no owner columns.
    pub parents: Vec<ParentTable>,
    /// Whether the caller may alter the table.
    pub is_own: bool,
    /// Owning role, quoted.
    pub owner: String,
    /// Whether it is a self-test table, which no role has privileges on.
    pub is_self_test: bool,
    /// BEFORE triggers that may change or reject a new row: their commands (i, u) and name.
    triggers: Vec<(String, String)>,
}

impl Table {
    /// A self-test table, as if the role of this index had all privileges.
    pub fn self_test(oid: pg_sys::Oid, name: String, role_index: usize) -> Self {
        let owner = OwnerColumn::new(1, "owner".to_owned(), pg_sys::UUIDOID, "");
        Self {
            named: RelationRef { table: oid, name, column: "owner".to_owned() },
            is_secured: true,
            estimated_rows: 2,
            privileges: vec!["siud".to_owned(); role_index + 1],
            owners: owner.into_iter().collect(),
            participants: Vec::new(),
            team: None,
            parents: Vec::new(),
            is_own: false,
            owner: String::new(),
            is_self_test: true,
            triggers: Vec::new(),
        }
    }

    /// Oid of the table.
    pub fn oid(&self) -> pg_sys::Oid {
        self.named.table
    }

    /// Whether a role (index in `Application::roles`) has the privilege for a command.
    pub fn allows(&self, role: usize, command: Command) -> bool {
        let letter = match command {
            Command::Select => 's',
            Command::Insert => 'i',
            Command::Update => 'u',
            Command::Delete => 'd',
        };
        self.privileges.get(role).is_some_and(|privileges| privileges.contains(letter))
    }

    /// Whether any client role has a privilege on the table.
    pub fn is_reachable(&self) -> bool {
        self.privileges.iter().any(|privileges| !privileges.is_empty())
    }

    /// Text about the BEFORE triggers that may correct or reject a new row; `None` if there are
    /// none. The audit does not fire them.
    pub fn trigger_caveat(&self, reach: Reach) -> Option<String> {
        let letter = match reach {
            Reach::Forge => 'i',
            Reach::TakeOver | Reach::Plant => 'u',
            Reach::Read | Reach::Tamper | Reach::Destroy => return None,
        };
        let names: Vec<&str> = self
            .triggers
            .iter()
            .filter(|(commands, _)| commands.contains(letter))
            .map(|(_, name)| name.as_str())
            .collect();
        match names.as_slice() {
            [] => None,
            [name] => Some(format!("the BEFORE trigger {name} may correct or reject the row")),
            names => Some(format!(
                "the BEFORE triggers {} may correct or reject the row",
                names.join(", ")
            )),
        }
    }

    /// Up to `most` distinct owners of the rows, as texts, by the first owner column.
    pub fn sample_owners(
        &self,
        application: &Application,
        most: usize,
    ) -> Result<Vec<String>, RlsError> {
        self.sample_users(application, 0, most)
    }

    /// Up to `most` distinct users whom one owner column names.
    pub fn sample_users(
        &self,
        application: &Application,
        owner: usize,
        most: usize,
    ) -> Result<Vec<String>, RlsError> {
        let Some(column) = self.owners.get(owner) else { return Ok(Vec::new()) };
        let (part, table) = (column.sql(), &self.named.name);
        let sql = format!("SELECT {part} FROM {table} AS t WHERE {}", column.names_any_user());
        let mut owners: Vec<String> = Vec::new();
        for row in application.rows(table, &sql, &[], OWNER_SAMPLE_ROWS)? {
            let Some(Some(value)) = row.first() else { continue };
            for owner in column.users_of(*value, &|sql, key| application.value(table, sql, key)) {
                if !owners.contains(&owner) {
                    owners.push(owner);
                }
            }
            if owners.len() >= most {
                break;
            }
        }
        owners.truncate(most);
        Ok(owners)
    }
}

/// The tables of the exposed schemas, or only one and its parent tables. `compared` has the columns
/// that policies compare with the request's user, by table.
pub fn tables(
    application: &Application,
    only: Option<pg_sys::Oid>,
    compared: &HashMap<u32, UserComparisons>,
) -> Result<Vec<Table>, RlsError> {
    let roles: Vec<pg_sys::Oid> = application.roles.iter().map(|role| role.oid).collect();
    Spi::connect(|client| {
        let mut owners = table_owners(application, compared);
        application.user_columns.get_or_init(|| user_columns(&owners));
        let with_parents = |only: pg_sys::Oid| {
            let mut asked = vec![only];
            let mut next = 0;
            while let Some(table) = asked.get(next) {
                let owners = owners.get(&table.to_u32());
                let parents = owners.into_iter().flat_map(|owners| &owners.parents);
                let new: Vec<pg_sys::Oid> = parents
                    .map(|parent| parent.oid)
                    .filter(|parent| !asked.contains(parent))
                    .collect();
                asked.extend(new);
                next += 1;
            }
            asked
        };
        let asked = only.map(with_parents);
        let arguments = [roles.into(), application.audited_schemas.clone().into(), asked.into()];
        let mut tables = Vec::new();
        for row in client.select(include_str!("../../../sql/rls/tables.sql"), None, &arguments)? {
            let table: pg_sys::Oid = row.get(1)?.unwrap_or(pg_sys::InvalidOid);
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            // A table without columns cannot leak anything.
            let Some(column) = row.get(7)? else { continue };
            let owners = owners.remove(&table.to_u32()).unwrap_or_default();
            tables.push(Table {
                named: RelationRef { table, name: text(2)?, column },
                is_secured: row.get(4)?.unwrap_or(false),
                estimated_rows: row.get(6)?.unwrap_or(0),
                privileges: row.get(8)?.unwrap_or_default(),
                owners: owners.columns,
                participants: owners.participants,
                team: owners.team,
                parents: owners.parents,
                is_own: row.get(9)?.unwrap_or(false),
                owner: text(10)?,
                is_self_test: false,
                triggers: row
                    .get::<Vec<String>>(11)?
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|trigger| trigger.split_once(' '))
                    .map(|(commands, name)| (commands.to_owned(), name.to_owned()))
                    .collect(),
            });
        }
        Ok(tables)
    })
}
