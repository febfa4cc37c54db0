use super::*;
use proptest::prelude::*;

const HOUR: i64 = 60 * MINUTE;

fn wait(admission: Admission) -> i64 {
    match admission {
        Admission::Go => 0,
        Admission::Wait(wait) => wait,
    }
}

#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let rate = Rate { per_minute: 60, burst: 3 };
    let mut bucket = Bucket::new(0);
    let sent: Vec<i64> = (0..100)
        .map(|tenth| tenth * SECOND / 10)
        .filter(|now| bucket.take(rate, *now) == Admission::Go)
        .collect();
    assert_eq!(sent[..3], [0, SECOND / 10, SECOND / 5]);
    assert_eq!(sent[3..], (1..10).map(|second| second * SECOND).collect::<Vec<_>>());
    assert_eq!(bucket.take(rate, 99 * SECOND / 10), Admission::Wait(SECOND / 10));
}

#[test]
fn a_breaker_opens_probes_and_waits_longer() {
    let mut breaker = Breaker::default();
    for _ in 0..4 {
        breaker.failed(0);
    }
    breaker.succeeded();
    for _ in 0..4 {
        breaker.failed(0);
        assert_eq!(breaker.admit(0), Admission::Go, "not five in a row yet");
    }
    breaker.failed(0);
    let (mut now, mut waits) = (0, Vec::new());
    for _ in 0..6 {
        let wait = wait(breaker.admit(now));
        waits.push(wait / SECOND);
        breaker.failed(now);
        now += wait;
        assert_eq!(breaker.admit(now), Admission::Go, "the probe");
        assert_eq!(breaker.admit(now), Admission::Wait(PROBE), "only one");
        breaker.failed(now);
    }
    assert_eq!(waits, [60, 120, 240, 480, 600, 600]);
    now += LAST_WAIT;
    assert_eq!(breaker.admit(now), Admission::Go);
    breaker.succeeded();
    assert_eq!(breaker, Breaker::default());
}

#[test]
fn a_lost_probe_is_given_up() {
    let mut breaker = Breaker::Open { until: 0, wait: FIRST_WAIT };
    assert_eq!(breaker.admit(0), Admission::Go);
    assert_eq!(breaker.admit(PROBE - 1), Admission::Wait(1));
    assert_eq!(breaker.admit(PROBE), Admission::Go);
}

#[test]
fn a_clock_that_steps_back_blocks_no_longer_than_the_timer() {
    let back = -1_000 * HOUR;
    let rate = Rate { per_minute: 6, burst: 2 };
    let mut bucket = Bucket::new(0);
    while bucket.take(rate, 0) == Admission::Go {}
    let blocked = wait(bucket.take(rate, back));
    assert_eq!(blocked, 10 * SECOND);
    assert_eq!(bucket.take(rate, back + blocked), Admission::Go);
    for mut breaker in [
        Breaker::Open { until: FIRST_WAIT, wait: FIRST_WAIT },
        Breaker::Probing { until: PROBE, wait: LAST_WAIT },
    ] {
        assert_eq!(breaker.admit(back), Admission::Wait(60 * SECOND));
        assert_eq!(breaker.admit(back + 60 * SECOND), Admission::Go);
    }
}

#[test]
fn states_are_stored_as_json() {
    for breaker in [Breaker::default(), Breaker::Open { until: 5, wait: FIRST_WAIT }] {
        let text = serde_json::to_string(&breaker).expect("JSON");
        assert_eq!(serde_json::from_str::<Breaker>(&text).ok(), Some(breaker), "{text}");
    }
    let bucket = serde_json::to_string(&Bucket::new(7)).expect("JSON");
    assert_eq!(serde_json::from_str::<Bucket>(&bucket).ok(), Some(Bucket::new(7)));
}

proptest! {
    /// In each window of time a channel sends at most its burst and its rate.
    #[test]
    fn a_bucket_never_exceeds_its_rate(
        per_minute in 1..600_u32,
        burst in 1..20_u32,
        steps in proptest::collection::vec(0..20_000_000_i64, 1..300),
    ) {
        let rate = Rate { per_minute, burst };
        let (mut bucket, mut now, mut sent) = (Bucket::new(0), 0, Vec::new());
        for step in steps {
            now += step / 7;
            if bucket.take(rate, now) == Admission::Go {
                sent.push(now);
            }
        }
        for (index, from) in sent.iter().enumerate() {
            for (count, to) in sent[index..].iter().enumerate() {
                let allowed = f64::from(burst)
                    + (to - from) as f64 / MINUTE as f64 * f64::from(per_minute);
                prop_assert!((count + 1) as f64 <= allowed + 1e-6);
            }
        }
    }

    /// A sender that waits as long as told may send, after any steps of the clock.
    #[test]
    fn a_wait_is_true_and_short(
        per_minute in 1..600_u32,
        burst in 1..20_u32,
        full_at in any::<i64>(),
        now in -1_000_000 * HOUR..1_000_000 * HOUR,
    ) {
        let rate = Rate { per_minute, burst };
        let mut bucket = Bucket::new(full_at);
        let told = wait(bucket.take(rate, now));
        prop_assert!(told <= rate.interval());
        if told > 0 {
            prop_assert_eq!(bucket.take(rate, now + told), Admission::Go);
        }
        let mut breaker = Breaker::Open { until: full_at, wait: full_at };
        let told = wait(breaker.admit(now));
        prop_assert!(told <= LAST_WAIT);
        if told > 0 {
            prop_assert_eq!(breaker.admit(now + told), Admission::Go);
        }
    }
}
