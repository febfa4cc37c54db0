//! A point in time that reads and writes ISO 8601 without the server.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Days from 0000-03-01 to 2000-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_2000: i64 = 730_425;
/// Days of 400 years, the period of the Gregorian calendar.
const DAYS_OF_ERA: i64 = 146_097;

/// Microseconds since 2000-01-01 00:00 UTC. JSON holds ISO 8601: `2026-11-27T18:00:00.000000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub i64);

impl Instant {
    /// Adds microseconds, saturating at the ends of the range.
    #[must_use]
    pub fn plus(self, microseconds: i64) -> Self {
        Self(self.0.saturating_add(microseconds))
    }

    /// Parses the format of [`fmt::Display`]. `None` for any other format.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let (year, rest) =
            date.rsplit_once('-').and_then(|(rest, day)| Some((rest.rsplit_once('-')?, day)))?;
        let (year, month, day): (i64, i64, i64) =
            (year.0.parse().ok()?, year.1.parse().ok()?, rest.parse().ok()?);
        let mut parts = time.splitn(3, ':');
        let hour: i64 = parts.next()?.parse().ok()?;
        let minute: i64 = parts.next()?.parse().ok()?;
        let (second, fraction) = parts.next()?.split_once('.')?;
        let (second, fraction): (i64, i64) = (second.parse().ok()?, fraction.parse().ok()?);
        // Years begin in March here, so that a leap day is the last day of its year.
        let shifted = if month > 2 { year } else { year - 1 };
        let of_era = shifted.rem_euclid(400);
        let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
        let days = shifted.div_euclid(400) * DAYS_OF_ERA + of_era * 365 + of_era / 4 - of_era / 100
            + of_year;
        Some(Self(
            (days - DAYS_TO_2000) * DAY + ((hour * 60 + minute) * 60 + second) * SECOND + fraction,
        ))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(DAY) + DAYS_TO_2000;
        let of_era = days.rem_euclid(DAYS_OF_ERA);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = days.div_euclid(DAYS_OF_ERA) * 400 + year_of_era + i64::from(month <= 2);
        let time = self.0.rem_euclid(DAY);
        let (seconds, fraction) = (time / SECOND, time % SECOND);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("\"{text}\" is not an ISO 8601 time in UTC"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times_format_and_parse() {
        for (moment, text) in [
            (0, "2000-01-01T00:00:00.000000Z"),
            (-1, "1999-12-31T23:59:59.999999Z"),
            (59 * DAY, "2000-02-29T00:00:00.000000Z"),
            (849_117_600 * SECOND + 5, "2026-11-27T18:00:00.000005Z"),
        ] {
            assert_eq!(Instant(moment).to_string(), text);
            assert_eq!(Instant::parse(text), Some(Instant(moment)));
        }
        for text in
            ["", "2000-01-01", "2000-01-01T00:00:00Z", "now", "2000-01-01T00:00:00.000000+00"]
        {
            assert_eq!(Instant::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_reverses_formatting(
            moment in -60_000_000_000_000_000_i64..250_000_000_000_000_000,
        ) {
            prop_assert_eq!(Instant::parse(&Instant(moment).to_string()), Some(Instant(moment)));
        }
    }
}
