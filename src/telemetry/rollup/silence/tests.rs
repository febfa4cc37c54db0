//! The limits of silence, by examples and by a simulated shop.

use super::*;

const NOW: i64 = 1_000 * DAY;

/// A minute with one webhook each `step` minutes in the hours `from` to `to` before now.
fn active(from: i64, to: i64, step: i64) -> Vec<(i64, u64)> {
    (0..)
        .map(|i| (NOW - from * HOUR + i * step * MINUTE, 1))
        .take_while(|(minute, _)| *minute <= NOW - to * HOUR)
        .collect()
}

fn minutes(silence: Option<Silence>) -> Option<(i64, i64)> {
    silence.map(|silence| (silence.lasted / MINUTE, silence.usual / MINUTE))
}

#[test]
fn in_the_first_days_the_usual_gap_decides() {
    assert_eq!(silence(&[], NOW), None, "never a webhook");
    assert_eq!(silence(&[(NOW - HOUR, 1)], NOW), None, "too few for a usual gap");
    assert_eq!(silence(&active(3, 0, 1), NOW), None);
    let steady = active(4, 1, 1);
    assert_eq!(minutes(silence(&steady, NOW)), Some((60, 1)));
    assert_eq!(silence(&active(72, 1, 30), NOW), None, "an hour is two of its gaps");
    assert!(silence(&active(72, 2, 30), NOW).is_some(), "two hours are four");
    assert_eq!(silence(&steady[..20], steady[19].0 + LEAST_SILENCE), None, "five minutes");
    let trial = &steady[..25];
    assert!(silence(trial, trial[24].0 + 20 * MINUTE).is_some(), "so far it may be anything");
    assert_eq!(silence(trial, trial[24].0 + 25 * MINUTE), None, "it was a trial");
}

#[test]
fn silence_does_not_end_by_lasting() {
    for days in [1, 2, 5, 20] {
        let counts = active(24 * (days + 21), 24 * days, 1);
        assert!(silence(&counts, NOW).is_some(), "{days} days");
    }
}

#[test]
fn quiet_hours_are_no_silence() {
    // One webhook a minute by day, none for the last hour of each day.
    let all: Vec<(i64, u64)> = (0..30)
        .rev()
        .flat_map(|day| active(24 * day + 9, 24 * day + 1, 1))
        .filter(|(minute, _)| *minute <= NOW - HOUR)
        .collect();
    assert_eq!(silence(&all, NOW), None);
    let noon = NOW - 4 * HOUR;
    let until: Vec<_> =
        all.iter().copied().filter(|(minute, _)| *minute <= noon - 20 * MINUTE).collect();
    assert_eq!(minutes(silence(&until, noon)), Some((20, 1)), "by day twenty minutes are one");
}

#[test]
fn a_batch_an_hour_is_expected_by_the_clock() {
    let batches: Vec<(i64, u64)> =
        (0..24 * 25).rev().map(|hour| (NOW - hour * HOUR - 30 * MINUTE, 400)).collect();
    assert_eq!(silence(&batches, NOW), None);
    let without_last = &batches[..batches.len() - 6];
    assert!(silence(without_last, NOW).is_some(), "six batches are missing");
}

#[test]
fn one_outage_does_not_hide_the_next() {
    let day_of_outage =
        |minute: &i64| (NOW - 3 * DAY - HOUR..NOW - 3 * DAY + HOUR).contains(minute);
    let counts: Vec<_> = active(24 * 25, 0, 1)
        .into_iter()
        .filter(|(minute, _)| !day_of_outage(minute) && *minute <= NOW - 20 * MINUTE)
        .collect();
    assert_eq!(minutes(silence(&counts, NOW)), Some((20, 1)));
}

#[test]
fn quartiles_are_interpolated() {
    assert_eq!(lower_quartile(&mut []), 0.0);
    assert_eq!(lower_quartile(&mut [7]), 7.0);
    assert_eq!(lower_quartile(&mut [4, 1, 3, 2]), 1.75);
    assert_eq!(lower_quartile(&mut [5, 1, 2, 3, 4]), 2.0);
}

/// Pseudo-random numbers (xorshift), the same in each run.
struct Random(u64);

impl Random {
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number of independent arrivals (Poisson, by Knuth's method).
    fn arrivals(&mut self, mean: f64) -> u64 {
        let (least, mut product, mut number) = ((-mean).exp(), self.share(), 0);
        while product > least {
            product *= self.share();
            number += 1;
        }
        number
    }
}

/// The traffic of a shop in a minute of the week: quiet nights, busy afternoons, calm weekends.
fn weight(minute: i64) -> f64 {
    let hour = (minute % 1_440) as f64 / 60.0;
    let by_day = ((hour - 7.0) / 16.0 * std::f64::consts::PI).sin().max(0.0);
    let by_day = if (7.0..=23.0).contains(&hour) { by_day } else { 0.0 };
    (0.04 + by_day) * if minute / 1_440 % 7 >= 5 { 0.6 } else { 1.0 }
}

/// Minutes with webhooks of a shop with so many a day, from its first minute on.
fn shop(per_day: f64, minutes: i64, seed: u64) -> Vec<(i64, u64)> {
    let mean_weight = (0..7 * 1_440).map(weight).sum::<f64>() / 7.0;
    let mut random = Random(seed * 7_919 + 13);
    for _ in 0..20 {
        random.share();
    }
    (0..minutes)
        .map(|minute| (minute * MINUTE, random.arrivals(per_day * weight(minute) / mean_weight)))
        .filter(|(_, number)| *number > 0)
        .collect()
}

/// Webhooks a day, and the minutes after which silence must be told.
const RATES: [(f64, i64); 4] = [(5_000.0, 7), (1_000.0, 13), (200.0, 51), (50.0, 162)];

/// All webhooks stop on a weekday at 11:00, after three weeks.
#[test]
fn silence_is_told_in_time_at_every_rate() {
    const STOP: i64 = 22 * 1_440 + 11 * 60;
    for (per_day, limit) in RATES {
        let mut told: Vec<i64> = (1..=101)
            .map(|seed| {
                let counts = shop(per_day, STOP, seed);
                let is_told = |after: &i64| silence(&counts, (STOP + after) * MINUTE).is_some();
                (0..600).find(is_told).unwrap_or(600)
            })
            .collect();
        told.sort_unstable();
        let median = told[told.len() / 2];
        println!("{per_day} a day: told after {median} min, 9 of 10 after {} min", told[90]);
        assert!(median <= limit, "{per_day} a day: {median} min");
    }
}

/// The share of minutes of a healthy shop in which silence is told, after three weeks of history.
#[test]
fn false_alarms_are_rare_at_every_rate() {
    const WEEKS: i64 = 12;
    for (per_day, _) in RATES {
        let (mut alarms, mut judged) = (0_u32, 0_u32);
        for seed in 1..=8 {
            let counts = shop(per_day, WEEKS * 7 * 1_440, seed);
            for now in 22 * 1_440..WEEKS * 7 * 1_440 {
                let now = now * MINUTE;
                let end = counts.partition_point(|(minute, _)| *minute <= now);
                judged += 1;
                // Most minutes are not silent, and need no window.
                if now - counts[end - 1].0 > LEAST_SILENCE {
                    let first = counts.partition_point(|(minute, _)| *minute < now - HISTORY);
                    alarms += u32::from(silence(&counts[first..end], now).is_some());
                }
            }
        }
        let share = f64::from(alarms) * 100.0 / f64::from(judged);
        println!("{per_day} a day: false alarms in {share:.4} % of {judged} minutes");
        assert!(share <= 0.02, "{per_day} a day: {share} %");
    }
}
