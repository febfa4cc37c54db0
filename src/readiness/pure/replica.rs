//! How far a standby is behind, and whether a decision may rely on it.

use super::model::Outcome;

/// The state of replay on a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// Whether replay is paused.
    pub is_paused: bool,
    /// Whether a WAL receiver is connected.
    pub is_connected: bool,
    /// Whether `primary_conninfo` is set.
    pub should_stream: bool,
    /// Whether all WAL that the standby knows of is replayed.
    pub is_caught_up: bool,
    /// Time since the commit of the last replayed transaction, in microseconds; `None` before the
    /// first one.
    pub since_last_commit: Option<i64>,
    /// Bytes of WAL that the standby knows of and has not replayed; `None` if unknown.
    pub missing_bytes: Option<i64>,
}

impl Replica {
    /// How far the data may be behind the primary, in microseconds: at most the time since the last
    /// replayed commit. `None` if unknown.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        if self.is_connected && self.is_caught_up {
            return Some(0);
        }
        self.since_last_commit.map(|age| age.max(0))
    }

    /// Whether the data are at most `limit` microseconds old, and why or why not.
    ///
    /// A paused standby is never current: it does not see what the primary records meanwhile.
    #[must_use]
    pub fn judge(&self, limit: i64) -> (Outcome, String) {
        let behind = match self.lag() {
            Some(lag) => format!("{} behind its primary", seconds(lag)),
            None => "behind its primary by an unknown time".to_owned(),
        };
        let missing = match self.missing_bytes {
            Some(bytes @ 1..) => format!(", {} kB of WAL are not replayed", (bytes + 1023) / 1024),
            _ => String::new(),
        };
        let (outcome, why) = match self.lag() {
            _ if self.is_paused => (Outcome::NoData, ", replay is paused"),
            _ if self.should_stream && !self.is_connected => {
                (Outcome::NoData, ", not connected to it")
            }
            Some(lag) if lag <= limit => (Outcome::Met, ""),
            _ => (Outcome::NoData, ""),
        };
        let limit = match outcome {
            Outcome::Met => String::new(),
            _ => format!(" (limit {})", seconds(limit)),
        };
        (outcome, format!("decided on a standby, {behind}{missing}{why}{limit}"))
    }
}

/// A time in seconds with one decimal, cut.
fn seconds(microseconds: i64) -> String {
    let tenths = microseconds / 100_000;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const CURRENT: Replica = Replica {
        is_paused: false,
        is_connected: true,
        should_stream: true,
        is_caught_up: true,
        since_last_commit: Some(3_600 * SECOND),
        missing_bytes: Some(0),
    };

    #[test]
    fn an_idle_primary_does_not_age_its_standby() {
        let (outcome, detail) = CURRENT.judge(5 * SECOND);
        assert_eq!(outcome, Outcome::Met);
        assert_eq!(detail, "decided on a standby, 0.0 s behind its primary");
    }

    #[test]
    fn a_standby_behind_the_limit_is_no_data() {
        let behind = |lag| Replica { is_caught_up: false, since_last_commit: lag, ..CURRENT };
        assert_eq!(behind(Some(5 * SECOND)).judge(5 * SECOND).0, Outcome::Met);
        for (lag, detail) in [
            (Some(5 * SECOND + 1), "5.0 s behind its primary (limit 5.0 s)"),
            (Some(90 * SECOND), "90.0 s behind its primary (limit 5.0 s)"),
            (None, "behind its primary by an unknown time (limit 5.0 s)"),
        ] {
            let (outcome, text) = behind(lag).judge(5 * SECOND);
            assert_eq!(outcome, Outcome::NoData, "{lag:?}");
            assert_eq!(text, format!("decided on a standby, {detail}"));
        }
    }

    #[test]
    fn a_paused_or_cut_off_standby_is_no_data_whatever_its_lag() {
        let fresh = Replica { since_last_commit: Some(0), ..CURRENT };
        let paused = Replica { is_paused: true, ..fresh };
        let cut_off = Replica { is_connected: false, ..fresh };
        for replica in [paused, cut_off] {
            assert_eq!(replica.judge(3_600 * SECOND).0, Outcome::NoData, "{replica:?}");
        }
        let archive = Replica { should_stream: false, ..cut_off };
        assert_eq!(archive.judge(SECOND).0, Outcome::Met, "it restores archived WAL");
    }

    #[test]
    fn wal_that_is_not_replayed_is_told() {
        let paused =
            Replica { is_paused: true, is_caught_up: false, missing_bytes: Some(5_000), ..CURRENT };
        assert_eq!(
            paused.judge(5 * SECOND).1,
            "decided on a standby, 3600.0 s behind its primary, 5 kB of WAL are not replayed, \
             replay is paused (limit 5.0 s)"
        );
    }

    #[test]
    fn a_clock_behind_the_primary_gives_no_negative_lag() {
        let ahead = Replica { is_connected: false, since_last_commit: Some(-SECOND), ..CURRENT };
        assert_eq!(ahead.lag(), Some(0));
    }
}
