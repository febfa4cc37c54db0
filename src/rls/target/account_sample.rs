//! Compares values of a column with the accounts.

use super::application::Application;
use crate::pg::catalog::lookup;
use crate::pg::cstring::c_string;
use crate::pg::rewrite::value::{text_of, value_of};
use crate::pg::xact::subtransaction::isolated;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;
use std::cell::OnceCell;

/// Most values of a column that are looked up.
const MAX_VALUES: u64 = 50;

/// Whether the values of a column are accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Some are.
    Present,
    /// None is.
    Absent,
    /// There are no values or no accounts, or they cannot be read.
    Unknown,
}

/// Looks up values in the accounts table.
pub struct AccountSample<'a> {
    application: &'a Application,
    has_accounts: OnceCell<bool>,
}

impl<'a> AccountSample<'a> {
    /// A sample that has read nothing yet.
    pub fn new(application: &'a Application) -> Self {
        Self { application, has_accounts: OnceCell::new() }
    }

    /// Whether some values of a column are accounts.
    pub fn presence(&self, table: pg_sys::Oid, column: &str, type_: pg_sys::Oid) -> Presence {
        let is_known =
            type_.to_u32() < pg_sys::FirstNormalObjectId || lookup::is_text_of_extension(type_);
        if !is_known || !self.has_accounts() {
            return Presence::Unknown;
        }
        isolated(|| self.compare(table, column, type_)).ok().flatten().unwrap_or(Presence::Unknown)
    }

    fn has_accounts(&self) -> bool {
        let first = || self.application.first_accounts(1).is_ok_and(|ids| !ids.is_empty());
        *self.has_accounts.get_or_init(|| isolated(first).unwrap_or(false))
    }

    fn compare(&self, table: pg_sys::Oid, column: &str, type_: pg_sys::Oid) -> Option<Presence> {
        let users = self.application.users.as_ref()?;
        let (name, column) = (lookup::table_name(table)?, quote_identifier(column));
        let sql = format!("SELECT t.{column} FROM {name} AS t WHERE t.{column} IS NOT NULL");
        let rows = self.application.rows(&name, &sql, &[], MAX_VALUES).ok()?;
        if rows.is_empty() {
            return None;
        }
        let texts = rows.iter().filter_map(|row| row.first().copied().flatten());
        let mut ids: Vec<String> = texts
            .map(|value| text_of(type_, value))
            .filter(|text| is_of_form(text, users.key_type))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Some(Presence::Absent);
        }
        let array = lookup::array_type(users.key_type);
        let value = value_of(array, &c_string(&format!("{{{}}}", ids.join(","))));
        let key = quote_identifier(&users.key);
        let sql = format!(
            "SELECT u.{key} FROM {} AS u WHERE u.{key} OPERATOR(pg_catalog.=) ANY ($1)",
            users.name
        );
        let found = self.application.rows(&users.name, &sql, &[(array, value)], 1).ok()?;
        Some(if found.is_empty() { Presence::Absent } else { Presence::Present })
    }
}

/// Whether a text can be an id of this type.
fn is_of_form(text: &str, type_: pg_sys::Oid) -> bool {
    match type_ {
        pg_sys::UUIDOID => {
            text.len() == 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
        }
        pg_sys::INT2OID | pg_sys::INT4OID | pg_sys::INT8OID | pg_sys::NUMERICOID => {
            text.len() < 19 && !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
        }
        _ => !text.is_empty() && !text.contains(['{', '}', '"', '\\', ',']) && text.trim() == text,
    }
}
