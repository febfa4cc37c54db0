//! A relation as one role finds it: names, privileges and columns.

use crate::pg::catalog::{lookup, privilege};
use crate::pg::rewrite::row_security::{Command, RelationRef};
use crate::pg::xact::sec_context;
use crate::rls::error::RlsError;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;

/// A column of a relation.
#[derive(Debug, Clone)]
pub struct Column {
    /// `attnum`.
    pub number: i16,
    /// The name, not quoted.
    pub name: String,
    /// Oid of the type.
    pub type_: pg_sys::Oid,
    /// Whether it is NOT NULL.
    pub is_not_null: bool,
    /// Whether it is an identity column.
    pub is_identity: bool,
    /// Whether it is generated from other columns.
    pub is_generated: bool,
    /// Whether an INSERT that leaves it out fills it.
    pub has_default: bool,
    /// Whether it belongs to the primary key.
    pub is_key: bool,
    /// The role's privileges: letters of s, i, u.
    privileges: String,
    /// Whether the caller has SELECT on it.
    pub is_readable: bool,
    /// A sequence of its default that the role may not use.
    pub missing_sequence: Option<String>,
    /// A function of its default that the role may not call.
    pub missing_function: Option<String>,
}

/// A relation as a role finds it.
pub struct Relation {
    /// Oid, qualified and quoted name, and a column.
    pub named: RelationRef,
    /// `pg_class.relkind`.
    pub kind: char,
    /// The schema, not quoted.
    pub schema: String,
    /// Whether row-level security is enabled.
    pub is_secured: bool,
    /// Oid of the owner.
    pub owner: pg_sys::Oid,
    /// Name of the owner, not quoted.
    pub owner_name: String,
    /// The role.
    pub role: pg_sys::Oid,
    /// Name of the role, not quoted.
    pub role_name: String,
    /// Whether the role has USAGE on the schema.
    pub may_use_schema: bool,
    /// The role's privileges on the whole relation: letters of s, i, u, d.
    privileges: String,
    /// Whether it is a view that runs as its caller.
    pub is_invoker_view: bool,
    /// Columns, in order.
    pub columns: Vec<Column>,
    /// Whether row-level security may hide rows of the relation from the caller.
    pub is_hidden_from_caller: bool,
}

/// The letter of a command in lists of privileges.
pub fn letter(command: Command) -> char {
    match command {
        Command::Select => 's',
        Command::Insert => 'i',
        Command::Update => 'u',
        Command::Delete => 'd',
    }
}

impl Column {
    /// Whether the role has a privilege on it, directly or through the table.
    pub fn allows(&self, command: Command) -> bool {
        self.privileges.contains(letter(command))
    }
}

impl Relation {
    /// Reads a relation; `None` unless it has rows that SQL can select.
    pub fn read(relation: pg_sys::Oid, role: pg_sys::Oid) -> Result<Option<Self>, RlsError> {
        Spi::connect(|client| {
            let arguments = [relation.into(), role.into()];
            let sql = include_str!("../../../../sql/rls/denial_relation.sql");
            let table = client.select(sql, Some(1), &arguments)?;
            if table.is_empty() {
                return Ok(None);
            }
            let row = table.first();
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let is = |column| row.get::<bool>(column).map(Option::unwrap_or_default);
            let is_secured = is(4)?;
            let caller = lookup::role(&sec_context::current_user());
            let is_invoker_view = is(9)?;
            // A view that runs as its caller hides rows by the security of its tables.
            let is_hidden_from_caller = match caller {
                None => true,
                Some(caller) if is_invoker_view => !privilege::bypasses_row_security(caller),
                Some(caller) => is_secured && !privilege::is_exempt(relation, caller),
            };
            let mut found = Self {
                named: RelationRef { table: relation, name: text(3)?, column: String::new() },
                kind: text(1)?.chars().next().unwrap_or('r'),
                schema: text(2)?,
                is_secured,
                owner: row.get(5)?.unwrap_or(pg_sys::InvalidOid),
                owner_name: text(6)?,
                role,
                role_name: sec_context::role_name(role),
                may_use_schema: is(7)?,
                privileges: text(8)?,
                is_invoker_view,
                columns: Vec::new(),
                is_hidden_from_caller,
            };
            let sql = include_str!("../../../../sql/rls/denial_columns.sql");
            for row in client.select(sql, None, &arguments)? {
                let is = |column| row.get::<bool>(column).map(Option::unwrap_or_default);
                found.columns.push(Column {
                    number: row.get(1)?.unwrap_or(0),
                    name: row.get(2)?.unwrap_or_default(),
                    type_: row.get(3)?.unwrap_or(pg_sys::InvalidOid),
                    is_not_null: is(4)?,
                    is_identity: is(5)?,
                    is_generated: is(6)?,
                    has_default: is(7)?,
                    is_key: is(8)?,
                    privileges: row.get(9)?.unwrap_or_default(),
                    is_readable: is(10)?,
                    missing_sequence: row.get(11)?,
                    missing_function: row.get(12)?,
                });
            }
            let first = found.columns.iter().find(|column| !column.is_generated);
            found.named.column = first.map(|column| column.name.clone()).unwrap_or_default();
            Ok(Some(found))
        })
    }

    /// Whether the role has a privilege on the whole relation.
    pub fn allows(&self, command: Command) -> bool {
        self.privileges.contains(letter(command))
    }

    /// Whether the role has a privilege on at least one column.
    pub fn allows_some_column(&self, command: Command) -> bool {
        self.allows(command) || self.columns.iter().any(|column| column.allows(command))
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column of this number.
    pub fn numbered(&self, number: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.number == number)
    }

    /// Whether the caller may read a column in every row: SELECT on it, and no row-level security
    /// that may hide rows from the caller.
    pub fn caller_may_read(&self, column: &Column) -> bool {
        column.is_readable && !self.is_hidden_from_caller
    }

    /// Whether row-level security applies to the role.
    pub fn is_enforced(&self) -> bool {
        self.is_secured && !privilege::is_exempt(self.named.table, self.role)
    }

    /// Whether it is a table, which can have policies.
    pub fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }

    /// The name with its kind, for reports.
    pub fn object(&self) -> String {
        let kind = match self.kind {
            'v' => "view",
            'm' => "materialized view",
            'f' => "foreign table",
            _ => "table",
        };
        format!("{kind} {}", self.named.name)
    }
}

/// Names of columns as SQL lists them.
pub fn listed<'a>(columns: impl IntoIterator<Item = &'a Column>) -> String {
    columns.into_iter().map(|column| quote_identifier(&column.name)).collect::<Vec<_>>().join(", ")
}
