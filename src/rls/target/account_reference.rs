//! Keys of rows that belong to one account each, such as `users.id` beside `users.auth_id`.

use super::application::unused_id_of_type;
use crate::pg::builtins::md5;
use crate::pg::cstring::c_string;
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security::{RowQuery, Undecidable};
use crate::pg::rewrite::value::{Parameters, text_of, value_of};
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;
use std::cell::RefCell;
use std::collections::HashMap;

/// Runs a query with one parameter and returns the value of its first row.
pub type Lookup<'a> = &'a dyn Fn(&str, (pg_sys::Oid, pg_sys::Datum)) -> Option<pg_sys::Datum>;

/// A table with a row for each account, whose key is not the user id.
#[derive(Debug)]
pub struct AccountReference {
    /// Qualified and quoted name of the table.
    pub table: String,
    /// The referenced key, not quoted.
    pub key: String,
    /// The column that holds the user id, not quoted.
    pub id: String,
    /// Type of the user id.
    pub id_type: pg_sys::Oid,
    /// Keys by user id, as texts.
    keys: RefCell<HashMap<String, String>>,
}

impl AccountReference {
    /// A reference without known keys.
    pub fn new(table: String, key: String, id: String, id_type: pg_sys::Oid) -> Self {
        Self { table, key, id, id_type, keys: RefCell::default() }
    }

    /// The key of the user's row, or a key that no row has. Call it as a client: the query is
    /// planned with the rights of the current user.
    pub fn key_of(&self, user: &str, key_type: pg_sys::Oid) -> Result<String, Undecidable> {
        if let Some(known) = self.keys.borrow().get(user) {
            return Ok(known.clone());
        }
        let sql = format!(
            "SELECT a.{} FROM {} AS a WHERE a.{} OPERATOR(pg_catalog.=) $1",
            quote_identifier(&self.key),
            self.table,
            quote_identifier(&self.id)
        );
        let id = [(self.id_type, value_of(self.id_type, &c_string(user)))];
        let query = RowQuery { sql: &sql, parameters: Parameters::new(&id) };
        let rows = query.rows(Qual::ALWAYS, 1, f64::MAX)?;
        let key = match rows.first().and_then(|row| row.first()).copied().flatten() {
            Some(key) => text_of(key_type, key),
            None => unused_key(key_type, user),
        };
        self.keys.borrow_mut().insert(user.to_owned(), key.clone());
        Ok(key)
    }

    /// The user id in the row with this key.
    pub fn user_of(
        &self,
        key_type: pg_sys::Oid,
        key: pg_sys::Datum,
        lookup: Lookup<'_>,
    ) -> Option<String> {
        let text = text_of(key_type, key);
        let known =
            self.keys.borrow().iter().find(|(_, key)| **key == text).map(|(id, _)| id.clone());
        known.or_else(|| {
            let sql = format!(
                "SELECT a.{} FROM {} AS a WHERE a.{} OPERATOR(pg_catalog.=) $1",
                quote_identifier(&self.id),
                self.table,
                quote_identifier(&self.key)
            );
            let id = text_of(self.id_type, lookup(&sql, (key_type, key))?);
            self.keys.borrow_mut().insert(id.clone(), text);
            Some(id)
        })
    }
}

/// A key that no row has, the same one for the same user.
fn unused_key(type_: pg_sys::Oid, user: &str) -> String {
    let digits = md5(user);
    match type_ {
        pg_sys::UUIDOID => digits,
        _ => {
            let number = digits.get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
            unused_id_of_type(type_, (number.unwrap_or_default() >> 1) as i16)
        }
    }
}
