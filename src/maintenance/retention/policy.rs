//! A policy, read as the owner of the extension, and the role as which its SQL runs.

use super::error::RetentionError;
use crate::access::as_owner;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::fmgr::spi;
use crate::pg::xact::snapshot;
use pgrx::prelude::*;
use serde_json::Value;

/// The treatment of expired rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Rows are deleted.
    Delete,
    /// Columns get other values.
    Anonymise,
    /// Partitions are dropped.
    Drop,
}

impl Action {
    /// The value of the column `action`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Anonymise => "anonymise",
            Self::Drop => "drop partition",
        }
    }

    /// The action of this name; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Delete, Self::Anonymise, Self::Drop].into_iter().find(|a| a.as_str() == text)
    }
}

/// A row of `crewsnow_ops.retention_policies`.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The name.
    pub name: String,
    /// The table, qualified and quoted.
    pub target: String,
    /// The column with the time of a row, unquoted.
    pub time_column: String,
    /// The treatment.
    pub action: Action,
    /// The columns to replace and their values; `None` for other actions.
    pub replacements: Option<Value>,
    /// The hold; `None` if no row is held.
    pub hold: Option<String>,
    /// The tables in which foreign keys may change rows.
    pub cascades_to: Vec<String>,
    /// Rows of a batch.
    pub batch_rows: i64,
    /// Rows of a run; `None` without a cap.
    pub max_rows: Option<i64>,
    /// Whether runs apply it.
    pub is_enabled: bool,
    /// The role that wrote it.
    pub author: String,
    /// Rows with an earlier time have expired, in microseconds since 2000.
    pub cutoff: i64,
}

impl Policy {
    /// The role as which its SQL runs on a table of this owner. A superuser's SQL runs as the
    /// owner, so that triggers of the owner get no privileges by it.
    pub fn role(&self, owner: pg_sys::Oid) -> Result<pg_sys::Oid, RetentionError> {
        let author = lookup::role(&self.author)
            .ok_or_else(|| RetentionError::UnknownAuthor(self.author.clone()))?;
        Ok(if privilege::is_superuser(author) { owner } else { author })
    }

    /// The replacements as a bound parameter.
    pub fn replacements(&self) -> Option<pgrx::JsonB> {
        self.replacements.clone().map(pgrx::JsonB)
    }

    /// The cutoff as a bound parameter.
    pub fn cutoff(&self) -> Option<TimestampWithTimeZone> {
        TimestampWithTimeZone::try_from(self.cutoff).ok()
    }

    /// The names of the replaced columns; `None` for a deletion.
    pub fn replaced_columns(&self) -> Option<Vec<String>> {
        let columns = self.replacements.as_ref()?.as_object()?;
        Some(columns.keys().cloned().collect())
    }
}

/// The policies by name, with their cutoffs for a run that began at `now`. `name` picks one.
pub fn policies(name: Option<&str>, now: i64) -> Result<Vec<Policy>, RetentionError> {
    let now = TimestampWithTimeZone::try_from(now).ok();
    let sql = include_str!("../../../sql/maintenance/retention_policies.sql");
    as_owner(|| {
        snapshot::with_latest_snapshot(|| {
            spi::select_kept(sql, &[name.into(), now.into()], |rows| {
                let mut policies = Vec::new();
                for row in rows {
                    let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                    let Some(action) = Action::parse(&text(4)?) else { continue };
                    policies.push(Policy {
                        name: text(1)?,
                        target: text(2)?,
                        time_column: text(3)?,
                        action,
                        replacements: row.get::<pgrx::JsonB>(5)?.map(|json| json.0),
                        hold: row.get(6)?,
                        cascades_to: row.get(7)?.unwrap_or_default(),
                        batch_rows: row.get::<i32>(8)?.unwrap_or(1).into(),
                        max_rows: row.get(9)?,
                        is_enabled: row.get(10)?.unwrap_or(false),
                        author: text(11)?,
                        cutoff: row
                            .get::<TimestampWithTimeZone>(12)?
                            .map_or(i64::MIN, TimestampWithTimeZone::into_inner),
                    });
                }
                Ok(policies)
            })
        })
    })
}
