//! The limits of the checks that operators may change, and the text that changes them. Pure.

/// Each limit: its name, its default and its unit. docs/health.md lists them.
pub const LIMITS: [(&str, f64, &str); 68] = [
    ("active_connections.warning", 50.0, "sessions"),
    ("active_connections.critical", 100.0, "sessions"),
    ("archive_queue.warning", 10.0, "files"),
    ("archive_queue.critical", 15.0, "files"),
    ("autovacuum_lag.warning", 10_000.0, "dead rows"),
    ("autovacuum_lag.critical", 1_000_000.0, "dead rows"),
    ("autovacuum_lag.inserted", 1_000_000.0, "rows"),
    ("avg_query_time.warning", 200.0, "ms"),
    ("avg_query_time.critical", 1000.0, "ms"),
    ("blocked_sessions.warning", 30.0, "s"),
    ("blocked_sessions.critical", 300.0, "s"),
    ("blocked_sessions.sessions", 5.0, "sessions"),
    ("cache_hit.warning", 90.0, "%"),
    ("checkpoints.warning", 60.0, "s"),
    ("commit_waits.warning", 5.0, "s"),
    ("commit_waits.critical", 30.0, "s"),
    ("connections.warning", 80.0, "%"),
    ("connections.critical", 95.0, "%"),
    ("cron_overdue.warning", 5.0, "minutes"),
    ("deadlocks.critical", 5.0, "a minute"),
    ("disk_space.warning", 90.0, "%"),
    ("disk_space.critical", 95.0, "%"),
    ("idle_in_transaction.warning", 300.0, "s"),
    ("idle_in_transaction.critical", 3600.0, "s"),
    ("idle_pileup.warning", 10.0, "sessions"),
    ("idle_pileup.critical", 100.0, "sessions"),
    ("kpi_freshness.warning", 2.0, "hours"),
    ("lock_table.warning", 20.0, "%"),
    ("lock_table.critical", 50.0, "%"),
    ("long_queries.warning", 1800.0, "s"),
    ("long_queries.critical", 3600.0, "s"),
    ("long_transactions.warning", 1800.0, "s"),
    ("long_transactions.critical", 3600.0, "s"),
    ("multixact_members.warning", 50.0, "%"),
    ("multixact_members.critical", 75.0, "%"),
    ("prepared_transactions.warning", 30.0, "s"),
    ("prepared_transactions.critical", 3600.0, "s"),
    ("recovery_conflicts.warning", 1.0, "an hour"),
    ("replay.warning", 5.0, "s"),
    ("replay.critical", 3600.0, "s"),
    ("replication.warning", 5.0, "s"),
    ("replication.critical", 3600.0, "s"),
    ("replication.logical", 20.0, "s"),
    ("replication.size", 1.0, "GB"),
    ("restart.warning", 10.0, "minutes"),
    ("rollbacks.warning", 10.0, "%"),
    ("rollbacks.critical", 50.0, "%"),
    ("sequences.warning", 85.0, "%"),
    ("sequences.critical", 95.0, "%"),
    ("session_deaths.warning", 1.0, "%"),
    ("session_deaths.critical", 5.0, "%"),
    ("slots.warning", 1.0, "GB"),
    ("slots.critical", 10.0, "GB"),
    ("slots.inactive", 10.0, "minutes"),
    ("slow_queries.warning", 10.0, "sessions and statements"),
    ("slow_queries.critical", 30.0, "sessions and statements"),
    ("statement_pileup.warning", 10.0, "sessions"),
    ("statement_pileup.critical", 30.0, "sessions"),
    ("temp_files.warning", 1024.0, "MB an hour"),
    ("temp_files.session", 256.0, "MB"),
    ("wait_profile.warning", 10.0, "sessions"),
    ("wal_rate.warning", 50.0, "MB/s"),
    ("wal_size.warning", 2.0, "times the planned size"),
    ("wraparound.warning", 500.0, "million"),
    ("wraparound.critical", 1400.0, "million"),
    ("xmin_horizon.warning", 10_000_000.0, "transactions"),
    ("xmin_horizon.critical", 100_000_000.0, "transactions"),
    ("xmin_horizon.hours", 24.0, "hours"),
];

/// A text that changes no limit, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidLimit(pub String);

/// Reads `name = number, name = number`. Each name is one of [`LIMITS`], each number from 0.001 to
/// a billion.
pub fn parse(text: &str) -> Result<Vec<(&'static str, f64)>, InvalidLimit> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(parse_one).collect()
}

fn parse_one(part: &str) -> Result<(&'static str, f64), InvalidLimit> {
    let (name, value) = part
        .split_once('=')
        .map(|(name, value)| (name.trim(), value.trim()))
        .ok_or_else(|| InvalidLimit(format!("\"{part}\" is not of the form name = number.")))?;
    let (name, _, unit) = LIMITS
        .iter()
        .find(|(known, ..)| *known == name)
        .ok_or_else(|| InvalidLimit(format!("There is no limit \"{name}\".")))?;
    match value.parse::<f64>() {
        Ok(number) if (0.001..=1e9).contains(&number) => Ok((name, number)),
        _ => Err(InvalidLimit(format!(
            "The limit {name} takes a number from 0.001 to 1e9, in {unit}, not \"{value}\"."
        ))),
    }
}

/// The value of a limit: the last one in `text`, else its default. An invalid text changes none.
pub fn value(text: &str, name: &str) -> f64 {
    let changed = parse(text).unwrap_or_default();
    let default = || LIMITS.iter().find(|(known, ..)| *known == name).map(|(_, value, _)| *value);
    let last = changed.into_iter().rev().find(|(known, _)| *known == name);
    last.map(|(_, value)| value).or_else(default).unwrap_or_default()
}

/// A query with each `@name@` replaced by the value of that limit.
pub fn fill(sql: &str, text: &str) -> String {
    let mut filled = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('@') {
        filled.push_str(before);
        let mark = after.split_once('@');
        rest = match mark.filter(|(name, _)| LIMITS.iter().any(|(known, ..)| known == name)) {
            Some((name, behind)) => {
                filled.push_str(&value(text, name).to_string());
                behind
            }
            None => {
                filled.push('@');
                after
            }
        };
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_limit_counts() {
        let text = " long_queries.warning = 7200,, long_queries.warning=60 ";
        assert_eq!(value(text, "long_queries.warning"), 60.0);
        assert_eq!(value("", "long_queries.warning"), 1800.0);
        assert_eq!(fill("< @long_queries.warning@ s, @other@", text), "< 60 s, @other@");
        assert_eq!(fill("@cache_hit.warning@", "cache_hit.warning = 97.5"), "97.5");
        assert_eq!(fill("a @> b AND c <@ d @ @restart.warning@@", ""), "a @> b AND c <@ d @ 10@");
        assert_eq!(fill("@slots.warning@@slots.critical@", "slots.critical = 0.5"), "10.5");
    }

    #[test]
    fn a_bad_text_is_refused_with_its_reason() {
        for (text, reason) in [
            ("long_queries", "\"long_queries\" is not of the form name = number."),
            ("long_query.warning = 1", "There is no limit \"long_query.warning\"."),
            (
                "long_queries.warning = 1h",
                "The limit long_queries.warning takes a number from 0.001 to 1e9, in s, \
                 not \"1h\".",
            ),
            (
                "disk_space.warning = -1",
                "The limit disk_space.warning takes a number from 0.001 to 1e9, in %, \
                 not \"-1\".",
            ),
        ] {
            assert_eq!(parse(text), Err(InvalidLimit(reason.to_owned())));
        }
        for value in ["NaN", "inf", "0", "1e-9", "1e10"] {
            assert!(parse(&format!("disk_space.warning = {value}")).is_err(), "{value}");
        }
    }

    #[test]
    fn each_limit_has_one_name_and_its_warning_comes_first() {
        for (name, default, _) in LIMITS {
            assert_eq!(LIMITS.iter().filter(|(known, ..)| *known == name).count(), 1, "{name}");
            let warning = name.replace(".critical", ".warning");
            if let Some((_, warning, _)) = LIMITS.iter().find(|(known, ..)| *known == warning) {
                assert!(*warning <= default, "{name}");
            }
        }
    }
}
