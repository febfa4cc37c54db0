//! A chosen table by name: the statement that treats it, and the sessions in its way.

use super::choice::Chosen;
use crate::health::parts::expanded;
use crate::maintenance::error::MaintenanceError;
use crate::pg::xact::{session, snapshot};
use pgrx::prelude::*;
use serde_json::Value;

/// A table as the catalog describes it now.
pub struct Description {
    /// The table, or the one that a TOAST table belongs to, qualified and quoted.
    pub main: String,
    /// The table or TOAST table.
    pub target: String,
    /// Its owner.
    pub owner: String,
    /// Whether this role may vacuum it.
    pub may_vacuum: bool,
    /// Whether this role may name the target in a statement: pg_toast is closed to most roles.
    pub may_name: bool,
    /// Its figures.
    pub figures: Value,
    /// The number of VACUUMs by sessions.
    pub vacuums: i64,
    /// The number of ANALYZEs by sessions.
    pub analyzes: i64,
    /// The last VACUUM by a session or by autovacuum, in microseconds since 2000.
    pub last_vacuum: Option<i64>,
    /// Whether it is a shared catalog, which autovacuum treats from any database.
    pub is_left_to_autovacuum: bool,
}

fn microseconds(time: Option<TimestampWithTimeZone>) -> Option<i64> {
    time.map(i64::from)
}

impl Description {
    /// `None` if the table was dropped.
    pub fn read(chosen: &Chosen) -> Result<Option<Self>, MaintenanceError> {
        session::forget_statistics();
        latest(|| {
            Spi::connect(|client| {
                let arguments = [chosen.table.oid.into(), chosen.table.main.into()];
                let sql = include_str!("../../../sql/maintenance/table.sql");
                let Some(row) = client.select(sql, Some(1), &arguments)?.next() else {
                    return Ok(None);
                };
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                Ok(Some(Self {
                    main: text(1)?,
                    target: text(2)?,
                    owner: text(3)?,
                    may_vacuum: row.get(4)?.unwrap_or_default(),
                    may_name: row.get(5)?.unwrap_or_default(),
                    figures: row.get::<pgrx::JsonB>(6)?.map(|json| json.0).unwrap_or_default(),
                    vacuums: row.get(7)?.unwrap_or_default(),
                    analyzes: row.get(8)?.unwrap_or_default(),
                    last_vacuum: microseconds(row.get(9)?),
                    is_left_to_autovacuum: row.get(10)?.unwrap_or_default(),
                }))
            })
        })
    }

    /// A figure; 0 if it is unknown.
    pub fn figure(&self, name: &str) -> i64 {
        self.figures.get(name).and_then(Value::as_i64).unwrap_or_default()
    }

    /// The statement: VACUUM that takes no lock in the way of reads and writes, or ANALYZE alone.
    pub fn statement(&self, chosen: &Chosen) -> String {
        if !chosen.need.vacuum {
            return format!("ANALYZE (SKIP_LOCKED) {}", self.target);
        }
        let analyze = if chosen.need.analyze { ", ANALYZE" } else { "" };
        // TRUNCATE would lock the table, and on standbys cancel queries.
        let options = "SKIP_LOCKED, TRUNCATE off, PARALLEL 0";
        if !chosen.table.is_toast {
            return format!("VACUUM ({options}, PROCESS_TOAST off{analyze}) {}", self.target);
        }
        if self.may_name {
            return format!("VACUUM ({options}) {}", self.target);
        }
        let main = if cfg!(feature = "pg15") { "" } else { ", PROCESS_MAIN off" };
        format!("VACUUM ({options}{main}) {}", self.main)
    }
}

/// Runs `read` under a snapshot taken now: the worker commits while the statement runs.
fn latest<R>(read: impl FnOnce() -> R) -> R {
    snapshot::with_latest_snapshot(read)
}

/// The settings of a table's statement: the cost limits and freeze ages that autovacuum would use.
pub fn settings(chosen: &Chosen) -> Vec<(String, String)> {
    let value = |name: &str| session::setting(name).unwrap_or_default();
    let is_set = |value: &str| !value.is_empty() && !value.starts_with('-');
    let options = chosen.table.options;
    let mut settings = Vec::new();
    let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
    let delay = options.map(|options| options.cost_delay).filter(|delay| *delay >= 0.0);
    let delay = delay.map(|delay| delay.to_string()).unwrap_or_else(|| {
        let delay = value("autovacuum_vacuum_cost_delay");
        if is_set(&delay) { delay } else { value("vacuum_cost_delay") }
    });
    let limit = options.map(|options| options.cost_limit).filter(|limit| *limit > 0);
    let limit = limit.map(|limit| limit.to_string()).unwrap_or_else(|| {
        let limit = value("autovacuum_vacuum_cost_limit");
        if is_set(&limit) { limit } else { value("vacuum_cost_limit") }
    });
    set("vacuum_cost_delay", delay);
    set("vacuum_cost_limit", limit);
    let memory = value("autovacuum_work_mem");
    if is_set(&memory) {
        set("maintenance_work_mem", memory);
    }
    let ages = options.map(|options| {
        [
            (options.freeze_min_age, options.freeze_table_age, options.freeze_max_age),
            (
                options.multixact_freeze_min_age,
                options.multixact_freeze_table_age,
                options.multixact_freeze_max_age,
            ),
        ]
    });
    for (name, (min_age, table_age, max_age)) in
        ["vacuum", "vacuum_multixact"].iter().zip(ages.unwrap_or([(-1, -1, -1); 2]))
    {
        let (min_name, table_name) =
            (format!("{name}_freeze_min_age"), format!("{name}_freeze_table_age"));
        if chosen.need.is_forced {
            // Only a scan of all pages that are not frozen advances the age of the table. And it
            // must freeze rows younger than the table's own limit, or the age stays above that.
            let min_age =
                if min_age >= 0 { min_age } else { value(&min_name).parse().unwrap_or(0) };
            let min_age = if max_age >= 0 { min_age.min(max_age / 2) } else { min_age };
            set(&min_name, min_age.to_string());
            set(&table_name, "0".to_owned());
            continue;
        }
        for (name, age) in [(min_name, min_age), (table_name, table_age)] {
            if age >= 0 {
                set(&name, age.to_string());
            }
        }
    }
    settings
}

/// A session in the way of VACUUM.
pub struct LockHolder {
    /// The session in words.
    pub words: String,
    /// The command that ends its work.
    pub command: Option<String>,
    /// Whether it vacuums the table itself.
    pub vacuums: bool,
}

/// The session that holds a conflicting lock on a table; `None` if it is gone.
pub fn lock_holder(table: pg_sys::Oid) -> Result<Option<LockHolder>, MaintenanceError> {
    latest(|| {
        Spi::connect(|client| {
            let sql = expanded(include_str!("../../../sql/maintenance/lock_holder.sql"));
            let arguments = [table.into()];
            let Some(row) = client.select(sql.as_str(), Some(1), &arguments)?.next() else {
                return Ok(None);
            };
            Ok(Some(LockHolder {
                words: row.get::<String>(1)?.unwrap_or_default(),
                command: row.get(2)?,
                vacuums: row.get(3)?.unwrap_or_default(),
            }))
        })
    })
}

/// The oldest holder of the xmin horizon.
pub struct HorizonHolder {
    /// The session, slot or prepared transaction.
    pub name: String,
    /// The cure, as sentences.
    pub cure: String,
    /// The command that ends it, on one line.
    pub command: Option<String>,
    /// The time since when it holds; `None` if the server does not record it.
    pub since: Option<i64>,
}

/// The oldest holder of the xmin horizon; `None` without one, and if it is hidden from this role.
pub fn horizon_holder() -> Result<Option<HorizonHolder>, MaintenanceError> {
    session::forget_statistics();
    latest(|| {
        Spi::connect(|client| {
            let sql = expanded(include_str!("../../../sql/maintenance/horizon.sql"));
            let Some(row) = client.select(sql.as_str(), Some(1), &[])?.next() else {
                return Ok(None);
            };
            let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
            Ok(Some(HorizonHolder {
                name: text(1)?,
                cure: text(2)?,
                command: row.get::<String>(3)?.map(|command| command.replace('\n', " \\\\ ")),
                since: microseconds(row.get(4)?),
            }))
        })
    })
}
