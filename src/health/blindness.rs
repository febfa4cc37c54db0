//! Settings under which the server does not record what checks read. A check that then found
//! nothing has seen nothing: it is SKIPPED, never OK.

use super::error::HealthError;
use super::finding::{Finding, Status};
use crate::pg::fmgr::spi::select_kept;

/// Checks of what sessions do at present.
const OF_ACTIVITY: [&str; 9] = [
    "Active Connections",
    "Slow Queries",
    "Idle in Transaction",
    "Long Queries",
    "Long Transactions",
    "Wait Profile",
    "Statement Pile-up",
    "Commit Waits",
    "Pooler Queue",
];
/// Checks of the counters of databases and tables.
const OF_COUNTERS: [&str; 7] = [
    "Session Deaths",
    "Deadlocks",
    "Rollbacks",
    "Temp Files",
    "Cache Hit",
    "Autovacuum Lag",
    "Avg Query Time",
];
/// Checks of pg_stat_statements.
const OF_STATEMENTS: [&str; 3] = ["Slow Queries", "Avg Query Time", "Statement Statistics"];

/// Facts that the server does not record.
#[derive(Debug, Default)]
pub(super) struct Blindness {
    /// Client sessions without this one whose activity is not recorded, and all of them.
    hidden_sessions: (i64, i64),
    hides_activity: bool,
    hides_counters: bool,
    hides_statements: bool,
    /// No query ids: pg_stat_statements counts nothing.
    hides_query_ids: bool,
    /// Roles and databases whose statements are not recorded.
    hidden_statements_of: Option<String>,
}

impl Blindness {
    /// Reads the settings and the sessions.
    pub(super) fn read() -> Result<Self, HealthError> {
        select_kept(include_str!("../../sql/health/blindness.sql"), &[], |rows| {
            let row = rows.first();
            Ok(Self {
                hidden_sessions: (row.get(1)?.unwrap_or(0), row.get(2)?.unwrap_or(0)),
                hides_activity: row.get(3)?.unwrap_or(false),
                hides_counters: row.get(4)?.unwrap_or(false),
                hides_statements: row.get(5)?.unwrap_or(false),
                hidden_statements_of: row.get(6)?,
                hides_query_ids: row.get(7)?.unwrap_or(false),
            })
        })
    }

    /// The reason why a check saw nothing or not all, and the command that lets it see.
    fn reason(&self, metric: &str) -> Option<(String, String)> {
        let (hidden, sessions) = self.hidden_sessions;
        let set = |setting: &str, value: &str| {
            format!("ALTER SYSTEM SET {setting} = {value};\nSELECT pg_reload_conf();")
        };
        if OF_ACTIVITY.contains(&metric) && (self.hides_activity || hidden > 0) {
            let reason = match hidden {
                0 => "track_activities is off: sessions do not show what they do".to_owned(),
                _ => format!(
                    "track_activities is off for {hidden} of {sessions} client sessions: they do \
                     not show what they do"
                ),
            };
            return Some((reason, set("track_activities", "on")));
        }
        if OF_COUNTERS.contains(&metric) && self.hides_counters {
            let reason = "track_counts is off: the server counts nothing".to_owned();
            return Some((reason, set("track_counts", "on")));
        }
        if OF_STATEMENTS.contains(&metric) {
            let command = set("pg_stat_statements.track", "'top'");
            if self.hides_statements {
                return Some(("pg_stat_statements.track is none".to_owned(), command));
            }
            if self.hides_query_ids {
                let reason = "compute_query_id is off: pg_stat_statements counts nothing";
                return Some((reason.to_owned(), set("compute_query_id", "'auto'")));
            }
            if let Some(owners) = &self.hidden_statements_of {
                let reason = format!("pg_stat_statements.track is none for {owners}");
                let command = "SELECT * FROM pg_db_role_setting;".to_owned();
                return Some((reason, command));
            }
        }
        None
    }

    /// The findings of a check, or its SKIPPED row if it found nothing wrong and did not see all.
    /// `Err` is the reason why nothing is known of the settings.
    pub(super) fn applied(
        known: &Result<Self, String>,
        metric: &'static str,
        findings: Vec<Finding>,
    ) -> Vec<Finding> {
        let is_ok = findings.iter().all(|finding| finding.status == Status::Ok);
        let Some((reason, command)) =
            known.as_ref().ok().and_then(|known| known.reason(metric)).filter(|_| is_ok)
        else {
            return findings;
        };
        let skipped = Finding::skipped(metric, reason);
        vec![Finding { next_command: Some(command), ..skipped }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(known: Blindness, metric: &'static str, status: Status) -> (Status, String) {
        let found = Finding { status, ..Finding::skipped(metric, "seen".to_owned()) };
        let findings = Blindness::applied(&Ok(known), metric, vec![found]);
        let finding = findings.into_iter().next().expect("a finding");
        (finding.status, finding.evidence.unwrap_or_default())
    }

    #[test]
    fn a_blind_check_is_skipped_and_a_seeing_one_is_not() {
        let seen = (Status::Ok, "seen".to_owned());
        assert_eq!(found(Blindness::default(), "Long Queries", Status::Ok), seen);
        let hidden = || Blindness { hidden_sessions: (2, 9), ..Blindness::default() };
        let (status, reason) = found(hidden(), "Long Queries", Status::Ok);
        assert_eq!(status, Status::Skipped);
        assert!(reason.contains("2 of 9 client sessions"), "{reason}");
        assert_eq!(found(hidden(), "Wraparound", Status::Ok), seen, "it reads no session");
        for (known, metric) in [
            (Blindness { hides_activity: true, ..Blindness::default() }, "Wait Profile"),
            (Blindness { hides_counters: true, ..Blindness::default() }, "Deadlocks"),
            (Blindness { hides_statements: true, ..Blindness::default() }, "Slow Queries"),
            (Blindness { hides_query_ids: true, ..Blindness::default() }, "Avg Query Time"),
            (
                Blindness {
                    hidden_statements_of: Some("role app".to_owned()),
                    ..Blindness::default()
                },
                "Statement Statistics",
            ),
        ] {
            assert_eq!(found(known, metric, Status::Ok).0, Status::Skipped, "{metric}");
        }
    }

    #[test]
    fn a_fault_that_was_seen_stays_told() {
        let hidden = Blindness { hidden_sessions: (2, 9), ..Blindness::default() };
        let told = (Status::Critical, "seen".to_owned());
        assert_eq!(found(hidden, "Long Queries", Status::Critical), told);
    }
}
