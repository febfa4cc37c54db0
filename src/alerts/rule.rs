//! A rule, read as the owner of the extension.

use super::error::AlertError;
use super::pure::board::BoardRule;
use super::pure::rule::{Conditions, Direction, NoData, Threshold, Timing};
use crate::pg::fmgr::spi;
use crate::suggest::similar_or_part;
use pgrx::prelude::*;

/// A row of `crewsnow_ops.alert_rules`.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The name.
    pub name: String,
    /// The query.
    pub query: String,
    /// The column `fires_when`.
    pub direction: Direction,
    /// The thresholds.
    pub warning: Option<f64>,
    /// See `warning`.
    pub critical: Option<f64>,
    /// The values that clear; `None` for the thresholds themselves.
    pub warning_clears: Option<f64>,
    /// See `warning_clears`.
    pub critical_clears: Option<f64>,
    /// In microseconds.
    pub fires_after: i64,
    /// In microseconds.
    pub clears_after: i64,
    /// A value of fewer samples is no data.
    pub min_samples: i64,
    /// The meaning of no data.
    pub no_data: NoData,
    /// The time between two evaluations, in microseconds.
    pub every: i64,
    /// How long the query may run, in milliseconds.
    pub time_limit: i32,
    /// Rows that it may return.
    pub max_subjects: i64,
    /// The group.
    pub alert_group: String,
    /// Whether ticks evaluate it.
    pub is_enabled: bool,
    /// Whether the extension ships it.
    pub is_built_in: bool,
    /// The column `defined_by`.
    pub author: String,
    /// The time of the last change, in microseconds since 2000.
    pub updated_at: i64,
}

impl Rule {
    /// The conditions for the state machine.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        let threshold = |fires: Option<f64>, clears: Option<f64>| {
            fires.map(|fires| Threshold { fires, clears: clears.unwrap_or(fires) })
        };
        Conditions {
            direction: self.direction,
            warning: threshold(self.warning, self.warning_clears),
            critical: threshold(self.critical, self.critical_clears),
            min_samples: self.min_samples,
            no_data: self.no_data,
            timing: Timing {
                fires_after: self.fires_after,
                clears_after: self.clears_after,
                every: self.every,
            },
        }
    }

    /// The rule for the board.
    #[must_use]
    pub fn board_rule(&self) -> BoardRule {
        BoardRule {
            name: self.name.clone(),
            group: self.alert_group.clone(),
            conditions: self.conditions(),
        }
    }
}

/// The rules by name. `name` picks one.
pub fn read(name: Option<&str>) -> Result<Vec<Rule>, AlertError> {
    let sql = include_str!("../../sql/alerts/read_rules.sql");
    spi::select_kept(sql, &[name.into()], |rows| {
        let mut rules = Vec::new();
        for row in rows {
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            let number = |column| row.get::<i64>(column).map(Option::unwrap_or_default);
            rules.push(Rule {
                name: text(1)?,
                query: text(2)?,
                direction: Direction::parse(&text(3)?).unwrap_or(Direction::Above),
                warning: row.get(4)?,
                critical: row.get(5)?,
                warning_clears: row.get(6)?,
                critical_clears: row.get(7)?,
                fires_after: number(8)?,
                clears_after: number(9)?,
                min_samples: number(10)?,
                no_data: NoData::parse(&text(11)?).unwrap_or(NoData::Keep),
                every: number(12)?.max(1),
                time_limit: i32::try_from(number(13)?).unwrap_or(i32::MAX),
                max_subjects: number(14)?,
                alert_group: text(15)?,
                is_enabled: row.get(16)?.unwrap_or(false),
                is_built_in: row.get(17)?.unwrap_or(false),
                author: text(18)?,
                updated_at: row
                    .get::<TimestampWithTimeZone>(19)?
                    .map_or(i64::MIN, TimestampWithTimeZone::into_inner),
            });
        }
        Ok(rules)
    })
}

/// The rule of a name. 42704 with similar names if there is none.
pub fn require(name: &str) -> Result<Rule, AlertError> {
    if let Some(rule) = read(Some(name))?.pop() {
        return Ok(rule);
    }
    let rules = read(None)?;
    let similar = similar_or_part(name, rules.iter().map(|rule| rule.name.as_str()));
    Err(AlertError::UnknownRule { name: name.to_owned(), similar })
}
