//! The tables that an audit looks at: what clients may do with them and whose their rows are.

use super::application::Application;
use super::owners::owner_columns;
use crate::pg::catalog::lookup;
use crate::pg::rewrite::qual::text_of;
use crate::pg::rewrite::row_security::{Command, RelationRef};
use crate::rls::error::RlsError;
use crate::rls::model::Reach;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use std::collections::HashMap;

/// Of how many rows it is looked at whose they are.
const SAMPLE: u64 = 1000;

/// A column that says whose a row is.
#[derive(Debug, Clone)]
pub struct OwnerColumn {
    /// Its number.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_: pg_sys::Oid,
    /// How that is known: foreign key, policy or name.
    pub basis: &'static str,
    /// The operators for equal, and not.
    pub operators: [String; 2],
}

impl OwnerColumn {
    /// One whose type can be compared.
    pub fn new(number: i16, name: String, type_: pg_sys::Oid, basis: &'static str) -> Option<Self> {
        Some(Self { number, name, type_, basis, operators: lookup::equality(type_)? })
    }
}

/// A table.
pub struct Table {
    /// How statements name it.
    pub named: RelationRef,
    /// Whether row-level security is on.
    pub is_secured: bool,
    /// How many rows the planner believes it has.
    pub estimated_rows: i64,
    /// What each role of the surroundings may do: s, i, u, d.
    pub privileges: Vec<String>,
    /// Whose its rows are.
    pub owners: Vec<OwnerColumn>,
    /// Whether the caller may alter it.
    pub is_own: bool,
    /// Its owner, quoted.
    pub owner: String,
    /// Whether it is one of the audit's own controls, on which nobody has privileges.
    pub is_self_test: bool,
    /// Triggers that may change a new row, or refuse it, before it is written: on which commands (i, u) and the name.
    triggers: Vec<(String, String)>,
}

impl Table {
    /// One of the control tables, for the role at this place.
    pub fn self_test(oid: pg_sys::Oid, name: String, place: usize) -> Self {
        let owner = OwnerColumn::new(1, "owner".to_owned(), pg_sys::UUIDOID, "");
        Self {
            named: RelationRef { table: oid, name, column: "owner".to_owned() },
            is_secured: true,
            estimated_rows: 2,
            privileges: vec!["siud".to_owned(); place + 1],
            owners: owner.into_iter().collect(),
            is_own: false,
            owner: String::new(),
            is_self_test: true,
            triggers: Vec::new(),
        }
    }

    /// Its oid.
    pub fn oid(&self) -> pg_sys::Oid {
        self.named.table
    }

    /// Whether a role, by its place among the surroundings' roles, may do this.
    pub fn allows(&self, role: usize, command: Command) -> bool {
        let letter = match command {
            Command::Select => 's',
            Command::Insert => 'i',
            Command::Update => 'u',
            Command::Delete => 'd',
        };
        self.privileges.get(role).is_some_and(|privileges| privileges.contains(letter))
    }

    /// Whether any role may do anything.
    pub fn is_reachable(&self) -> bool {
        self.privileges.iter().any(|privileges| !privileges.is_empty())
    }

    /// What may set a new row's owner right, or refuse the row, before it is written: triggers by name. The audit does not fire them.
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
            [name] => Some(format!("the BEFORE trigger {name} may set it right, or refuse it")),
            names => Some(format!("the BEFORE triggers {} may set it right, or refuse it", names.join(", "))),
        }
    }

    /// Some owners of its rows, as texts.
    pub fn sample_owners(&self, application: &Application, most: usize) -> Result<Vec<String>, RlsError> {
        let Some(column) = self.owners.first() else { return Ok(Vec::new()) };
        let (name, table) = (quote_identifier(&column.name), &self.named.name);
        let sql = format!("SELECT t.{name} FROM {table} AS t WHERE t.{name} IS NOT NULL");
        let mut owners: Vec<String> = Vec::new();
        for row in application.rows(table, &sql, &[], SAMPLE)? {
            let Some(Some(owner)) = row.first() else { continue };
            let owner = text_of(column.type_, *owner);
            if !owners.contains(&owner) {
                owners.push(owner);
            }
            if owners.len() == most {
                break;
            }
        }
        Ok(owners)
    }
}

/// The tables of the exposed schemas, or only one table; with the columns that policies compare with who asks, by table.
pub fn tables(
    application: &Application,
    only: Option<pg_sys::Oid>,
    compared: &HashMap<u32, Vec<i16>>,
) -> Result<Vec<Table>, RlsError> {
    let roles: Vec<pg_sys::Oid> = application.roles.iter().map(|role| role.oid).collect();
    Spi::connect(|client| {
        let mut owners = owner_columns(application, compared);
        let arguments = [roles.into(), application.schemas.clone().into(), only.into()];
        let mut tables = Vec::new();
        for row in client.select(include_str!("../../../sql/rls/tables.sql"), None, &arguments)? {
            let table: pg_sys::Oid = row.get(1)?.unwrap_or(pg_sys::InvalidOid);
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            // A table without columns has nothing to leak.
            let Some(column) = row.get(7)? else { continue };
            tables.push(Table {
                named: RelationRef { table, name: text(2)?, column },
                is_secured: row.get(4)?.unwrap_or(false),
                estimated_rows: row.get(6)?.unwrap_or(0),
                privileges: row.get(8)?.unwrap_or_default(),
                owners: owners.remove(&table.to_u32()).unwrap_or_default(),
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
