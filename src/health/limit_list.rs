//! The limits of the checks that operators may change, and the text that changes them. Pure.

/// Each limit: its name, its default and its unit. docs/health.md lists them.
pub const LIMITS: [(&str, f64, &str); 43] = [
    ("active_connections.warning", 50.0, "sessions"),
    ("active_connections.critical", 100.0, "sessions"),
    ("archive_queue.warning", 10.0, "files"),
    ("archive_queue.critical", 15.0, "files"),
    ("avg_query_time.warning", 200.0, "ms"),
    ("avg_query_time.critical", 1000.0, "ms"),
    ("cache_hit.warning", 90.0, "%"),
    ("checkpoints.warning", 60.0, "s"),
    ("commit_waits.warning", 5.0, "s"),
    ("commit_waits.critical", 30.0, "s"),
    ("connections.warning", 80.0, "%"),
    ("connections.critical", 95.0, "%"),
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
    ("recovery_conflicts.warning", 1.0, "an hour"),
    ("restart.warning", 10.0, "minutes"),
    ("rollbacks.warning", 10.0, "%"),
    ("rollbacks.critical", 50.0, "%"),
    ("session_deaths.warning", 1.0, "%"),
    ("session_deaths.critical", 5.0, "%"),
    ("slow_queries.warning", 10.0, "sessions and statements"),
    ("slow_queries.critical", 30.0, "sessions and statements"),
    ("statement_pileup.warning", 10.0, "sessions"),
    ("statement_pileup.critical", 30.0, "sessions"),
    ("temp_files.session", 256.0, "MB"),
    ("temp_files.warning", 1024.0, "MB an hour"),
    ("wait_profile.warning", 10.0, "sessions"),
    ("wal_rate.warning", 50.0, "MB/s"),
    ("wal_size.warning", 2.0, "times the planned size"),
];

/// A text that changes no limit, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidLimit(pub String);

/// Reads `name = number, name = number`. Each name is one of [`LIMITS`], each number positive.
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
        Ok(number) if number > 0.0 && number <= 1e12 => Ok((name, number)),
        _ => Err(InvalidLimit(format!(
            "The limit {name} takes a number above 0, in {unit}, not \"{value}\"."
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
    LIMITS.iter().fold(sql.to_owned(), |sql, (name, ..)| {
        let mark = format!("@{name}@");
        match sql.contains(&mark) {
            true => sql.replace(&mark, &value(text, name).to_string()),
            false => sql,
        }
    })
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
    }

    #[test]
    fn a_bad_text_is_refused_with_its_reason() {
        for (text, reason) in [
            ("long_queries", "\"long_queries\" is not of the form name = number."),
            ("long_query.warning = 1", "There is no limit \"long_query.warning\"."),
            (
                "long_queries.warning = 1h",
                "The limit long_queries.warning takes a number above 0, in s, not \"1h\".",
            ),
            (
                "disk_space.warning = -1",
                "The limit disk_space.warning takes a number above 0, in %, not \"-1\".",
            ),
        ] {
            assert_eq!(parse(text), Err(InvalidLimit(reason.to_owned())));
        }
        assert!(parse("disk_space.warning = NaN").is_err() && parse("x = inf").is_err());
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
