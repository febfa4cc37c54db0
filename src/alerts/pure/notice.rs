//! The notices of a group of alerts: when one is sent, and why.

use super::rule::Severity;
pub use crate::messages::pure::message::Reason;
use crate::time::minute::{HOUR, MINUTE};

/// More alerts of a group are told at most this often, in microseconds.
const MORE_AFTER: i64 = 5 * MINUTE;

/// An alert of the group that fires or recovers.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its severity.
    pub severity: Severity,
    /// When it fired, in microseconds since 2000.
    pub fired_at: i64,
    /// Whether an operator works on it.
    pub is_acknowledged: bool,
    /// Whether a silence or a window holds its notices back.
    pub is_silenced: bool,
    /// Whether it fires and resolves again and again.
    pub is_flapping: bool,
}

impl Member {
    /// Whether operators may hear of it at all.
    #[must_use]
    pub fn is_audible(&self) -> bool {
        !self.is_silenced && !self.is_flapping
    }

    /// Whether it can make the group send a notice.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.is_audible() && !self.is_acknowledged
    }
}

/// The latest notice.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Its time, in microseconds since 2000.
    pub at: i64,
    /// The worst severity that operators knew of then, also from an alert that they work on.
    pub severity: Severity,
    /// The number of alerts that counted then.
    pub members: usize,
}

/// The time after which alerts of a severity are told again.
fn reminder_after(severity: Severity) -> i64 {
    match severity {
        Severity::Critical => 30 * MINUTE,
        Severity::Warning => 4 * HOUR,
    }
}

/// The notice that a group sends now; `None` for none. `members` are its active alerts, `ended` the
/// number of announced ones that have ended since the latest tick.
#[must_use]
pub fn decide(last: Option<&Sent>, members: &[Member], ended: usize, now: i64) -> Option<Reason> {
    let Some(last) = last else {
        return members.iter().any(Member::counts).then_some(Reason::Firing);
    };
    if members.is_empty() {
        // Its alerts may go on in another group.
        return (ended > 0).then_some(Reason::Resolved);
    }
    // An operator who works on a warning does not know yet that it has become critical.
    let audible = members.iter().filter(|member| member.is_audible());
    if audible.map(|member| member.severity).max().is_some_and(|worst| worst > last.severity) {
        return Some(Reason::Escalated);
    }
    let counted: Vec<&Member> = members.iter().filter(|member| member.counts()).collect();
    let Some(worst) = counted.iter().map(|member| member.severity).max() else {
        return (ended > 0).then_some(Reason::PartlyResolved);
    };
    // Operators believe that only muted alerts are left.
    if last.members == 0 {
        return Some(Reason::Firing);
    }
    // The clock may have stepped back since.
    let age = (now - last.at).max(0);
    let has_more =
        counted.len() > last.members || counted.iter().any(|member| member.fired_at > last.at);
    if has_more && age >= MORE_AFTER {
        return Some(Reason::MoreAlerts);
    }
    (age >= reminder_after(worst)).then_some(Reason::Reminder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(severity: Severity, fired_at: i64) -> Member {
        let (is_acknowledged, is_silenced, is_flapping) = (false, false, false);
        Member { severity, fired_at, is_acknowledged, is_silenced, is_flapping }
    }

    fn sent(at: i64, severity: Severity, members: usize) -> Sent {
        Sent { at, severity, members }
    }

    use Severity::{Critical, Warning};

    #[test]
    fn a_storm_sends_two_notices_in_ten_minutes() {
        let (mut last, mut notices) = (None, 0);
        let mut members = Vec::new();
        for second in 0..600 {
            let now = second * 1_000_000;
            if second < 100 {
                members.extend((0..10).map(|_| member(Critical, now)));
            }
            if decide(last.as_ref(), &members, 0, now).is_some() {
                notices += 1;
                last = Some(sent(now, Critical, members.len()));
            }
        }
        assert_eq!((notices, last.map(|last| last.members)), (2, Some(1_000)));
    }

    #[test]
    fn each_reason_has_its_time() {
        let one = [member(Warning, 0)];
        assert_eq!(decide(None, &[], 0, 0), None);
        assert_eq!(decide(None, &one, 0, 0), Some(Reason::Firing));
        let last = sent(0, Warning, 1);
        assert_eq!(decide(Some(&last), &one, 0, HOUR), None);
        assert_eq!(decide(Some(&last), &one, 0, 4 * HOUR), Some(Reason::Reminder));
        let worse = [member(Critical, 0)];
        assert_eq!(decide(Some(&last), &worse, 0, 1), Some(Reason::Escalated));
        assert_eq!(
            decide(Some(&sent(0, Critical, 1)), &worse, 0, 30 * MINUTE),
            Some(Reason::Reminder)
        );
        assert_eq!(
            decide(Some(&sent(0, Critical, 1)), &one, 0, 30 * MINUTE),
            None,
            "a fall is silent"
        );
        let two = [member(Warning, 0), member(Warning, MINUTE)];
        assert_eq!(decide(Some(&last), &two, 0, 2 * MINUTE), None);
        assert_eq!(decide(Some(&last), &two, 0, 5 * MINUTE), Some(Reason::MoreAlerts));
        assert_eq!(decide(Some(&last), &[], 1, 1), Some(Reason::Resolved));
        assert_eq!(decide(Some(&last), &[], 0, 1), None, "they go on elsewhere");
        assert_eq!(
            decide(Some(&sent(HOUR, Warning, 1)), &one, 0, 0),
            None,
            "a clock that went back"
        );
    }

    #[test]
    fn silenced_flapping_and_acknowledged_alerts_send_nothing() {
        let changes: [fn(&mut Member); 3] =
            [|m| m.is_silenced = true, |m| m.is_flapping = true, |m| m.is_acknowledged = true];
        for change in changes {
            let mut muted = member(Critical, 0);
            change(&mut muted);
            assert_eq!(decide(None, &[muted.clone()], 0, 0), None);
            let last = sent(0, Critical, 1);
            assert_eq!(decide(Some(&last), &[muted.clone()], 0, 9 * HOUR), None);
            // The announced ones have ended.
            let told = decide(Some(&last), &[muted.clone()], 1, 9 * HOUR);
            assert_eq!(told, Some(Reason::PartlyResolved));
            let again = [muted.clone(), member(Warning, 9 * HOUR)];
            let told = decide(Some(&sent(9 * HOUR, Critical, 0)), &again, 0, 9 * HOUR);
            assert_eq!(told, Some(Reason::Firing), "it waits for nothing");
            // A new alert beside muted ones is told.
            let new = member(Warning, MINUTE);
            let told = decide(Some(&sent(0, Critical, 3)), &[muted, new], 0, 6 * MINUTE);
            assert_eq!(told, Some(Reason::MoreAlerts));
        }
        let mut worse = member(Critical, 0);
        worse.is_acknowledged = true;
        assert_eq!(decide(Some(&sent(0, Warning, 1)), &[worse], 0, 1), Some(Reason::Escalated));
    }

    /// An alert whose silence ends fired long before the latest notice.
    #[test]
    fn the_end_of_a_silence_is_told() {
        let mut two = [member(Warning, 0), member(Warning, 0)];
        two[1].is_silenced = true;
        let last = sent(0, Warning, 1);
        assert_eq!(decide(Some(&last), &two, 0, 5 * MINUTE), None);
        two[1].is_silenced = false;
        assert_eq!(decide(Some(&last), &two, 0, 5 * MINUTE), Some(Reason::MoreAlerts));
    }

    proptest! {
        /// A group sends at most one notice in five minutes, but for a first one, a rise of
        /// severity and the end.
        #[test]
        fn notices_are_rare(steps in proptest::collection::vec((0..4_u8, any::<bool>()), 1..200)) {
            let (mut last, mut sent_at) = (None::<Sent>, Vec::new());
            let mut members: Vec<Member> = Vec::new();
            for (minute, (count, critical)) in steps.into_iter().enumerate() {
                let now = minute as i64 * MINUTE / 2;
                let severity = if critical { Critical } else { Warning };
                members.truncate(usize::from(count));
                members.push(member(severity, now));
                if let Some(reason) = decide(last.as_ref(), &members, 0, now) {
                    if reason == Reason::MoreAlerts || reason == Reason::Reminder {
                        let before = sent_at.last().copied().unwrap_or(i64::MIN / 2);
                        prop_assert!(now - before >= MORE_AFTER);
                    }
                    let worst = members.iter().map(|m| m.severity).max().unwrap_or(Warning);
                    last = Some(sent(now, worst, members.len()));
                    sent_at.push(now);
                }
            }
        }
    }
}
