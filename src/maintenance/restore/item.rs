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
    /// Whether the table got new files after the snapshot. TRUNCATE and some forms of ALTER TABLE
    /// hide its rows from an older snapshot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_rewritten: bool,
    /// The only scope of backups that carry it; `None` if each does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
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
    /// The scope of backups that carry this content; `None` if each does.
    pub scope: Option<Scope>,
}

/// The part of a server that a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One database, as pg_dump writes it.
    Dump,
    /// The whole server, as pg_basebackup copies it.
    Cluster,
}

/// A line of `restore_contents.sql` or `restore_checks.sql`.
#[derive(Deserialize)]
struct ContentLine {
    kind: String,
    name: String,
    #[serde(default)]
    is_unlogged: bool,
    sql: Option<String>,
    dump_sql: Option<String>,
    source_sql: Option<String>,
}

impl Reading {
    /// The readings of a line of such statements for backups of these scopes: none if such a
    /// backup does not carry the content. A dump leaves out tables that an extension fills, and a
    /// base backup the rows of unlogged tables.
    ///
    /// # Errors
    ///
    /// A line that is no JSON of this form.
    pub fn parse(line: &str, scopes: &[Scope]) -> Result<Vec<Self>, serde_json::Error> {
        let line: ContentLine = serde_json::from_str(line)?;
        let sql = |scope: Scope| match scope {
            Scope::Dump => line.dump_sql.as_ref(),
            Scope::Cluster if line.is_unlogged => None,
            Scope::Cluster => line.sql.as_ref(),
        };
        let reading = |sql: &String, scope: Option<Scope>| Self {
            kind: line.kind.clone(),
            name: line.name.clone(),
            sql: sql.clone(),
            scope,
        };
        if let Some(both) = sql(Scope::Dump).filter(|_| sql(Scope::Dump) == sql(Scope::Cluster)) {
            return Ok(vec![reading(both, None)]);
        }
        let of_scope = |scope: &Scope| sql(*scope).map(|sql| reading(sql, Some(*scope)));
        Ok(scopes.iter().filter_map(of_scope).collect())
    }

    /// The reading of a line of `restore_checks.sql` for the source; `None` if it is not checked.
    ///
    /// # Errors
    ///
    /// A line that is no JSON of this form.
    pub fn parse_source(line: &str) -> Result<Option<Self>, serde_json::Error> {
        let line: ContentLine = serde_json::from_str(line)?;
        let (kind, name) = (line.kind, line.name);
        Ok(line.source_sql.map(|sql| Self { kind, name, sql, scope: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_carries_the_content_of_its_scope() {
        let line = r#"{"kind":"content","name":"a.b","is_unlogged":true,"sql":"S","dump_sql":"D"}"#;
        let dump = Reading::parse(line, &[Scope::Dump]).expect("a line");
        assert_eq!((dump[0].name.as_str(), dump[0].sql.as_str()), ("a.b", "D"));
        assert_eq!(Reading::parse(line, &[Scope::Cluster]).expect("a line"), []);
        let member = r#"{"kind":"content","name":"a.b","is_unlogged":false,"sql":"S"}"#;
        assert_eq!(Reading::parse(member, &[Scope::Dump]).expect("a line"), []);
        assert_eq!(Reading::parse(member, &[Scope::Cluster]).expect("a line").len(), 1);
    }

    #[test]
    fn a_manifest_has_one_reading_for_both_scopes_if_they_agree() {
        let both = [Scope::Dump, Scope::Cluster];
        let scopes = |line: &str| {
            let readings = Reading::parse(line, &both).expect("a line");
            readings.into_iter().map(|reading| reading.scope).collect::<Vec<_>>()
        };
        assert_eq!(scopes(r#"{"kind":"content","name":"t","sql":"S","dump_sql":"S"}"#), [None]);
        assert_eq!(
            scopes(r#"{"kind":"content","name":"t","sql":"S","dump_sql":"D"}"#),
            [Some(Scope::Dump), Some(Scope::Cluster)]
        );
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
