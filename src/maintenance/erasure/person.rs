//! The table of accounts, and the texts that identify a person.

use super::error::ErasureError;
use super::query::{View, on_table, texts};
use crate::access::as_owner;
use crate::pg::access::scan;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::xact::sec_context;
use crate::pg::xact::subtransaction::isolated;
use crate::settings;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;

/// Shorter identifiers, and numbers, are looked for in columns that name a user only.
const MIN_PART: usize = 6;

/// The table that has a row for each account.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// Oid of the table.
    pub table: pg_sys::Oid,
    /// Its name, quoted and qualified.
    pub name: String,
    /// Its owner.
    pub owner: pg_sys::Oid,
    /// The quoted column of its primary key.
    pub key: String,
    /// The type of that column.
    pub key_type: pg_sys::Oid,
}

impl Accounts {
    /// The table that crewsnow_ops.users_table names. Its name needs no privilege.
    pub fn read() -> Result<Self, ErasureError> {
        as_owner(Self::look_up)
    }

    fn look_up() -> Result<Self, ErasureError> {
        let name = settings::users_table();
        let unknown = || ErasureError::NoUsersTable(name.clone());
        let table = if name.is_empty() { None } else { lookup::table_called(&name) };
        let table = table.ok_or_else(unknown)?;
        let (number, key_type) = lookup::key(table).ok_or_else(unknown)?;
        Ok(Self {
            table,
            name: lookup::table_name(table).ok_or_else(unknown)?,
            owner: scan::owner_of(table).ok_or_else(unknown)?,
            key: quote_identifier(lookup::column_name(table, number).ok_or_else(unknown)?),
            key_type,
        })
    }

    /// Whether ids are numbers, which other values may equal.
    pub fn has_numbers(&self) -> bool {
        [pg_sys::INT2OID, pg_sys::INT4OID, pg_sys::INT8OID, pg_sys::NUMERICOID]
            .contains(&lookup::base_type(self.key_type))
    }

    /// 42501 if the caller may not read the accounts.
    pub fn require_readable(&self) -> Result<(), ErasureError> {
        if privilege::may_select(sec_context::current_role(), self.table) {
            return Ok(());
        }
        Err(ErasureError::MayNot { privilege: "SELECT", table: self.name.clone() })
    }

    /// The id as the server writes it. 22023 for a text that is not of the key's type.
    pub fn canonical_id(&self, id: &str) -> Result<String, ErasureError> {
        let type_ = lookup::qualified_type_name(self.key_type);
        let sql = format!("SELECT concat(CAST($1 AS {type_}))");
        let cast = || on_table(self.owner, || texts(View::Statement, &sql, &[id.into()]));
        match isolated(cast) {
            Ok(values) => Ok(values?.into_iter().next().unwrap_or_default()),
            Err(_) => Err(ErasureError::InvalidId(type_)),
        }
    }
}

/// A person whose data are looked for.
#[derive(Debug, Clone)]
pub struct Person {
    /// The key of the account, as text.
    pub id: String,
    /// E-mail addresses and phone numbers of the account.
    pub others: Vec<String>,
}

impl Person {
    /// Reads the account. Without one, only the id is known.
    pub fn read(accounts: &Accounts, id: &str) -> Result<Self, ErasureError> {
        let id = accounts.canonical_id(id)?;
        accounts.require_readable()?;
        let columns = texts(
            View::Statement,
            include_str!("../../../sql/maintenance/erasure_identifiers.sql"),
            &[accounts.table.into()],
        )?;
        let mut others = Vec::new();
        for column in columns {
            let sql = format!(
                "SELECT concat(u.{column}) FROM {} AS u WHERE u.{} = CAST($1 AS {}) \
                 AND u.{column} IS NOT NULL",
                accounts.name,
                accounts.key,
                lookup::qualified_type_name(accounts.key_type)
            );
            let found =
                on_table(accounts.owner, || texts(View::Statement, &sql, &[id.as_str().into()]))?;
            others.extend(found.into_iter().filter(|value| value.chars().count() >= MIN_PART));
        }
        others.sort();
        others.dedup();
        Ok(Self { id, others })
    }

    /// The id and the other identifiers.
    pub fn identifiers(&self) -> Vec<String> {
        [std::slice::from_ref(&self.id), &self.others].concat()
    }

    /// The id as a uuid; `None` if it is none.
    pub fn uuid(&self) -> Option<pgrx::Uuid> {
        uuid_of(&self.id)
    }

    /// A regular expression that matches the identifiers in any text, and in the text of JSON. It
    /// leaves out identifiers that other values may equal, such as numbers.
    pub fn pattern(&self) -> String {
        let identifiers = self.identifiers();
        let distinct = identifiers.iter().filter(|identifier| is_distinct(identifier));
        let patterns: Vec<String> = distinct.map(|identifier| pattern_of(identifier)).collect();
        if patterns.is_empty() { NOTHING.to_owned() } else { patterns.join("|") }
    }

    /// The same for a column that names a user: each identifier is matched, too short ones whole.
    pub fn owner_pattern(&self) -> String {
        let identifiers = self.identifiers();
        let others = identifiers.iter().filter(|identifier| !is_distinct(identifier));
        let others = others.map(|identifier| format!("^{}$", escaped(identifier)));
        [self.pattern()].into_iter().chain(others).collect::<Vec<_>>().join("|")
    }
}

/// A pattern that matches no text.
const NOTHING: &str = "^(?=a)b";

/// Whether a text is hardly equal to another value by chance.
pub fn is_distinct(identifier: &str) -> bool {
    let is_number = identifier.chars().all(|c| c.is_ascii_digit());
    !is_number && identifier.chars().count() >= MIN_PART
}

/// A uuid as the server writes it; `None` for any other text.
pub fn uuid_of(text: &str) -> Option<pgrx::Uuid> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let is_uuid = text.len() == 36 && digits.len() == 32;
    let bytes = (0..16).map(|i| u8::from_str_radix(digits.get(2 * i..2 * i + 2)?, 16).ok());
    let bytes: Option<Vec<u8>> = is_uuid.then(|| bytes.collect()).flatten();
    bytes.and_then(|bytes| pgrx::Uuid::from_slice(&bytes).ok())
}

/// The text as a regular expression.
fn escaped(text: &str) -> String {
    let escape = |c: char| if c.is_alphanumeric() { c.to_string() } else { format!("\\{c}") };
    text.chars().map(escape).collect()
}

/// A uuid is matched anywhere. An e-mail address must not be a part of a longer one; in the text of
/// JSON a line break before it reads as a letter.
fn pattern_of(identifier: &str) -> String {
    let escaped = escaped(identifier);
    if identifier.contains('@') {
        return format!(
            "(?:(?<![0-9A-Za-z_.+-])|(?<=\\\\[nrtbf])){escaped}(?![0-9A-Za-z_-]|\\.[0-9A-Za-z])"
        );
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uuids_are_uuids() {
        let person = |id: &str| Person { id: id.into(), others: Vec::new() };
        assert!(person("0b9c2e3a-1c2d-4e5f-8a9b-0c1d2e3f4a5b").uuid().is_some());
        for id in ["17", "", "zb9c2e3a-1c2d-4e5f-8a9b-0c1d2e3f4a5b", "ada@example.org"] {
            assert!(person(id).uuid().is_none(), "{id}");
        }
    }

    #[test]
    fn short_identifiers_are_matched_in_owner_columns_only() {
        let person = Person { id: "17".into(), others: vec!["ada@example.org".into()] };
        assert!(!person.pattern().contains("17"));
        assert!(person.owner_pattern().ends_with("|^17$"));
        assert!(person.pattern().contains("ada\\@example\\.org"));
        let nobody = Person { id: "17".into(), others: Vec::new() };
        assert_eq!(nobody.pattern(), NOTHING);
        assert_eq!(pattern_of("ab-cd-ef"), "ab\\-cd\\-ef");
    }
}
