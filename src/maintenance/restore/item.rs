//! Objects and contents of a database, as a comparison and a manifest see them. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Kind of an item that holds the rows of a table.
pub const CONTENT: &str = "content";
/// Kind of an item that holds the value of a sequence.
pub const SEQUENCE_VALUE: &str = "sequence value";

/// An object of a database, or the content of one. One line of JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The kind, in words of SQL: `table`, `policy`, `content`.
    pub kind: String,
    /// The name, qualified and quoted: `public.orders`, `own on public.orders`.
    pub name: String,
    /// The name of the object that it belongs to; `None` if it stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The extension whose script makes it; `None` for an object of the database's users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// Its aspects, by their names. No values of rows.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub definition: Map<String, Value>,
    /// Number of rows of a content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// Hash of a content: the sum of the hashes of its rows, so that their order does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The extreme value of each column that a sequence feeds, by the sequence; `None` for no rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extremes: BTreeMap<String, Option<String>>,
    /// The SQLSTATE with which reading it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
}

impl Item {
    /// An item that could not be read.
    #[must_use]
    pub fn unreadable(kind: &str, name: &str, sqlstate: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            parent: Some(name.to_owned()),
            sqlstate: Some(sqlstate.to_owned()),
            ..Self::default()
        }
    }

    /// Whether it holds rows or the value of a sequence.
    #[must_use]
    pub fn is_content(&self) -> bool {
        self.kind == CONTENT || self.kind == SEQUENCE_VALUE
    }

    /// An aspect of the definition that is text; `None` if it has none of this name.
    #[must_use]
    pub fn aspect(&self, name: &str) -> Option<&str> {
        self.definition.get(name).and_then(Value::as_str)
    }
}

/// A statement that reads the content of one table or sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// [`CONTENT`] or [`SEQUENCE_VALUE`].
    pub kind: String,
    /// The table or sequence.
    pub name: String,
    /// A query that returns one line of JSON.
    pub sql: String,
}

/// The part of a server that a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One database, as pg_dump writes it.
    Dump,
    /// The whole server, as pg_basebackup copies it.
    Cluster,
}

/// A line of `restore_contents.sql`.
#[derive(Deserialize)]
struct ContentLine {
    kind: String,
    name: String,
    #[serde(default)]
    is_unlogged: bool,
    sql: Option<String>,
    dump_sql: Option<String>,
}

impl Reading {
    /// The reading of a line of `restore_contents.sql`; `None` if a backup of this scope does not
    /// carry the content. A dump leaves out tables that an extension fills, and a base backup the
    /// rows of unlogged tables.
    ///
    /// # Errors
    ///
    /// A line that is no JSON of this form.
    pub fn parse(line: &str, scope: Scope) -> Result<Option<Self>, serde_json::Error> {
        let line: ContentLine = serde_json::from_str(line)?;
        let sql = match scope {
            Scope::Dump => line.dump_sql,
            Scope::Cluster if line.is_unlogged => None,
            Scope::Cluster => line.sql,
        };
        Ok(sql.map(|sql| Self { kind: line.kind, name: line.name, sql }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_carries_the_content_of_its_scope() {
        let line = r#"{"kind":"content","name":"a.b","is_unlogged":true,"sql":"S","dump_sql":"D"}"#;
        let dump = Reading::parse(line, Scope::Dump).expect("a line").expect("a reading");
        assert_eq!((dump.name.as_str(), dump.sql.as_str()), ("a.b", "D"));
        assert_eq!(Reading::parse(line, Scope::Cluster).expect("a line"), None);
        let member = r#"{"kind":"content","name":"a.b","is_unlogged":false,"sql":"S"}"#;
        assert_eq!(Reading::parse(member, Scope::Dump).expect("a line"), None);
        assert!(Reading::parse(member, Scope::Cluster).expect("a line").is_some());
    }

    #[test]
    fn an_item_survives_its_line_of_json() {
        let line = r#"{"kind":"content","name":"a.b","rows":3,"hash":"-7","extremes":{"s":null}}"#;
        let item: Item = serde_json::from_str(line).expect("an item");
        assert_eq!(item.extremes.get("s"), Some(&None));
        let written = serde_json::to_string(&item).expect("a line");
        assert_eq!(serde_json::from_str::<Item>(&written).expect("an item"), item);
    }
}
