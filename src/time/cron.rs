//! Schedules of cron, as pg_cron reads them. Pure.

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const MINUTES_OF_DAY: i64 = 1_440;
/// Days in which each date comes with each weekday, the 29th of February included.
const LONGEST: i64 = 41 * 366;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// When a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// At minutes that match five fields.
    Fields(Fields),
    /// Again after so many seconds.
    Seconds(i64),
    /// When the server starts, and at no time of its own.
    Reboot,
}

/// The values of the five fields, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    /// Whether the last day of each month belongs to `days`, written `$`.
    has_last_day: bool,
    months: u64,
    weekdays: u64,
    /// With a `*` in one of the two fields of days a day must match both, otherwise either.
    has_star: bool,
}

/// Reads a schedule. `None` if it is none.
#[must_use]
pub fn parse(text: &str) -> Option<Schedule> {
    let text = text.trim().to_lowercase();
    let fields = match text.as_str() {
        "@reboot" => return Some(Schedule::Reboot),
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        fields => fields,
    };
    let parts: Vec<&str> = fields.split_whitespace().collect();
    match parts.as_slice() {
        [count, "second" | "seconds"] => {
            let count: i64 = count.parse().ok()?;
            (1..60).contains(&count).then_some(Schedule::Seconds(count))
        }
        [minutes, hours, days, months, weekdays] => {
            let is_star = |field: &str| field.starts_with('*');
            let (days, has_last_day) = match *days {
                "$" => (0, true),
                days => (values(days, 1, 31, &[])?, false),
            };
            let mut weekday_bits = values(weekdays, 0, 7, &WEEKDAYS)?;
            if weekday_bits & (1 << 7) != 0 {
                weekday_bits |= 1;
            }
            Some(Schedule::Fields(Fields {
                minutes: values(minutes, 0, 59, &[])?,
                hours: values(hours, 0, 23, &[])?,
                days,
                has_last_day,
                months: values(months, 1, 12, &MONTHS)?,
                weekdays: weekday_bits,
                has_star: is_star(parts[2]) || is_star(weekdays),
            }))
        }
        _ => None,
    }
}

/// The bits of a list such as `1-5,10-20/2`. `names` stand for the values from `low` on.
fn values(field: &str, low: u32, high: u32, names: &[&str]) -> Option<u64> {
    let number = |text: &str| -> Option<u32> {
        let by_name = names.iter().position(|name| *name == text);
        let value = match by_name {
            Some(position) => low + u32::try_from(position).ok()?,
            None if text.chars().all(|c| c.is_ascii_digit()) => text.parse().ok()?,
            None => return None,
        };
        (low..=high).contains(&value).then_some(value)
    };
    let mut bits = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (number(from)?, number(to)?),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return None;
        }
        let step = usize::try_from(step).ok()?;
        (from..=to).step_by(step).for_each(|value| bits |= 1 << value);
    }
    Some(bits)
}

/// The first time after `after` at which the schedule is due; `None` if there is none. Times are
/// microseconds since 2000-01-01 00:00, by the clock of the schedule.
#[must_use]
pub fn next(schedule: &Schedule, after: i64) -> Option<i64> {
    let fields = match schedule {
        Schedule::Reboot => return None,
        Schedule::Seconds(count) => return after.checked_add(count * SECOND),
        Schedule::Fields(fields) => fields,
    };
    let first = after.div_euclid(MINUTE) + 1;
    let today = first.div_euclid(MINUTES_OF_DAY);
    for day in today..today + LONGEST {
        if !fields.includes_day(day) {
            continue;
        }
        let start = if day == today { first.rem_euclid(MINUTES_OF_DAY) } else { 0 };
        let is_due = |minute: &i64| fields.includes_minute(*minute);
        if let Some(minute) = (start..MINUTES_OF_DAY).find(is_due) {
            return (day * MINUTES_OF_DAY + minute).checked_mul(MINUTE);
        }
    }
    None
}

fn has(bits: u64, value: i64) -> bool {
    (0..64).contains(&value) && bits & (1 << value) != 0
}

impl Fields {
    fn includes_minute(&self, minute: i64) -> bool {
        has(self.hours, minute / 60) && has(self.minutes, minute % 60)
    }

    /// `day` counts from 2000-01-01, a Saturday.
    fn includes_day(&self, day: i64) -> bool {
        let (month, of_month, length) = date(day);
        let is_day = has(self.days, of_month) || (self.has_last_day && of_month == length);
        let is_weekday = has(self.weekdays, (day + 6).rem_euclid(7));
        let matches = if self.has_star { is_day && is_weekday } else { is_day || is_weekday };
        has(self.months, month) && matches
    }
}

/// Month, day of the month and length of the month.
fn date(day: i64) -> (i64, i64, i64) {
    // The calendar repeats after 400 years. Years begin in March, so a leap day ends its year.
    let of_era = (day + 730_425).rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let civil = if month <= 2 { year + 1 } else { year };
    let is_leap = civil % 4 == 0 && (civil % 100 != 0 || civil % 400 == 0);
    let length = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (month, of_month, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::instant::Instant;
    use proptest::prelude::*;

    fn next_of(schedule: &str, after: &str) -> String {
        let after = Instant::parse(&format!("{after}:00.000000Z")).expect("a time");
        let schedule = parse(schedule).unwrap_or_else(|| panic!("{schedule}"));
        next(&schedule, after.0)
            .map_or("never".to_owned(), |due| Instant(due).to_string()[..16].to_owned())
    }

    #[test]
    fn a_schedule_is_due_as_cron_reads_it() {
        for (schedule, after, due) in [
            ("* * * * *", "2026-11-27T20:59", "2026-11-27T21:00"),
            ("*/5 * * * *", "2026-11-27T20:58", "2026-11-27T21:00"),
            ("0 2 * * 0", "2026-11-27T20:59", "2026-11-29T02:00"),
            ("0 2 * * sun", "2026-11-29T02:00", "2026-12-06T02:00"),
            ("0 2 * * 7", "2026-11-27T20:59", "2026-11-29T02:00"),
            ("7 3 1 * *", "2026-11-27T20:59", "2026-12-01T03:07"),
            ("30 4 1,15 * 5", "2026-11-27T20:59", "2026-12-01T04:30"),
            ("30 4 1,15 * 5", "2026-12-01T04:30", "2026-12-04T04:30"),
            ("0 0 29 2 *", "2026-11-27T20:59", "2028-02-29T00:00"),
            ("0 0 31 4,6 *", "2026-11-27T20:59", "never"),
            ("0 9-17/4 * JAN-mar 1-5", "2026-12-31T23:59", "2027-01-01T09:00"),
            ("0 12 $ * *", "2028-02-10T00:00", "2028-02-29T12:00"),
            ("@weekly", "2026-11-27T20:59", "2026-11-29T00:00"),
            ("@reboot", "2026-11-27T20:59", "never"),
            ("0 0 */2 * 1", "2026-11-01T00:00", "2026-11-09T00:00"),
        ] {
            assert_eq!(next_of(schedule, after), due, "{schedule} after {after}");
        }
        assert_eq!(next(&Schedule::Seconds(10), 5), Some(10 * SECOND + 5));
        assert_eq!(parse("10 seconds"), Some(Schedule::Seconds(10)));
    }

    #[test]
    fn another_text_is_no_schedule() {
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* * 0 * *",
            "* * * 13 *",
            "a * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "60 seconds",
            "0 seconds",
            "@fortnightly",
            "-1 * * * *",
            "* * * * 8",
            "1, * * * *",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_next_time_is_later_and_matches(
            minute in 0..60_i64, hour in 0..24_i64, weekday in 0..7_i64,
            after in 0..2_000_000_000_000_000_i64,
        ) {
            let schedule = parse(&format!("{minute} {hour} * * {weekday}")).expect("a schedule");
            let due = next(&schedule, after).expect("a time");
            prop_assert!(due > after && due <= after + 7 * MINUTES_OF_DAY * MINUTE);
            let minutes = due / MINUTE;
            prop_assert_eq!(minutes % 60, minute);
            prop_assert_eq!(minutes / 60 % 24, hour);
            prop_assert_eq!((minutes / MINUTES_OF_DAY + 6) % 7, weekday);
        }

        #[test]
        fn dates_follow_each_other(day in -200_000..200_000_i64) {
            let ((month, of_month, length), next) = (date(day), date(day + 1));
            prop_assert!((1..=length).contains(&of_month));
            if of_month == length {
                prop_assert_eq!((next.0, next.1), (month % 12 + 1, 1));
            } else {
                prop_assert_eq!((next.0, next.1), (month, of_month + 1));
            }
        }
    }
}
