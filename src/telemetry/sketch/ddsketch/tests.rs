use super::*;
use proptest::prelude::*;

fn sketch_of(durations: &[u64]) -> Sketch {
    let mut sketch = Sketch::default();
    durations.iter().for_each(|duration| sketch.add(*duration));
    sketch
}

/// The reference: `percentile_disc`.
fn nearest_rank(durations: &[u64], q: f64) -> u64 {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    sorted[((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1]
}

fn is_close(sketch: &Sketch, durations: &[u64], q: f64) {
    let (estimate, exact) =
        (sketch.quantile(q).expect("not empty"), nearest_rank(durations, q) as f64);
    assert!(
        (estimate - exact).abs() <= RELATIVE_ERROR * exact + 1e-9,
        "q {q}: {estimate} against {exact}"
    );
}

#[test]
fn empty() {
    let sketch = Sketch::default();
    assert_eq!((sketch.quantile(0.5), sketch.encode()), (None, vec![VERSION, 0]));
    assert_eq!(Sketch::decode(&[VERSION, 0]), Ok(sketch));
}

#[test]
fn every_bin_is_within_the_error() {
    let mut duration = 1_u64;
    while duration <= MAX_NANOSECONDS {
        for near in [duration - 1, duration, duration + 1] {
            is_close(
                &sketch_of(&[near, near, MAX_NANOSECONDS]),
                &[near, near, MAX_NANOSECONDS],
                0.5,
            );
        }
        duration = duration + 1 + duration / 200;
    }
    assert_eq!(bin_of(1), 0);
    assert_eq!(bin_of(MAX_NANOSECONDS), MAPPING.upper_bounds.len() - 1);
}

#[test]
fn distributions_with_long_tails() {
    let uniform =
        |n: u64| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1_u64 << 53) as f64;
    let normal = |n| {
        (-2.0 * uniform(2 * n + 1).ln()).sqrt() * (std::f64::consts::TAU * uniform(2 * n + 2)).cos()
    };
    type Draw<'a> = &'a dyn Fn(u64) -> f64;
    let log_normal: Draw = &|n| 40e6 * (0.8 * normal(n)).exp();
    let pareto: Draw = &|n| 5e6 / (1.0 - uniform(n)).powf(1.0 / 1.2);
    let bimodal: Draw =
        &|n| if n % 10 == 0 { 5e9 + 1e8 * normal(n) } else { 2e7 + 1e6 * normal(n) };
    for draw in [log_normal, pareto, bimodal] {
        let durations: Vec<u64> =
            (0..100_000).map(|n| (draw(n) as u64).min(MAX_NANOSECONDS)).collect();
        let sketch = sketch_of(&durations);
        for q in [0.0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
            is_close(&sketch, &durations, q);
        }
    }
}

#[test]
fn absurd_durations_count_as_the_longest() {
    assert_eq!(sketch_of(&[u64::MAX]), sketch_of(&[MAX_NANOSECONDS]));
}

#[test]
fn foreign_bytes() {
    let one = [2, 1, 0, 1, 1, 1];
    let dense = |first: u64, width: usize| {
        let mut bytes = sketch_of(&[1; 20]).encode()[..6].to_vec();
        bytes.push(1 + width.ilog2() as u8);
        (0..BLOCK)
            .for_each(|bin| bytes.extend(&if bin == 0 { first } else { 0 }.to_le_bytes()[..width]));
        bytes
    };
    for (bytes, error) in [
        (&[][..], InvalidSketch::Truncated),
        (&[1, 0], InvalidSketch::Version),
        (&[2], InvalidSketch::Truncated),
        (&[2, 0, 0], InvalidSketch::TooLong),
        (&[2, 0x80, 0], InvalidSketch::Number),
        (&[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], InvalidSketch::Number),
        (&[2, 1, 2, 1, 1, 1, 0, 1, 0, 1], InvalidSketch::Contradiction),
        (&[2, 1, 0, 2, 1, 1, 0, 1, 0, 1], InvalidSketch::Contradiction),
        (&[&one[..], &[0, 2, 0, 1]].concat(), InvalidSketch::Contradiction),
        (&[&one[..], &[0, 1, 0, 2]].concat(), InvalidSketch::Contradiction),
        (&[&one[..], &[0, 1, 0, 1, 0]].concat(), InvalidSketch::TooLong),
        (&[&one[..], &[0, 1, 0]].concat(), InvalidSketch::Truncated),
        (&[&one[..], &[0, 1, 0, 0]].concat(), InvalidSketch::Bin),
        (&[&one[..], &[0, 0, 0, 1]].concat(), InvalidSketch::Bin),
        (&[&one[..], &[0xff, 0x7f, 1, 0, 1]].concat(), InvalidSketch::Bin),
        (&[&one[..], &[5, 1, 0, 1]].concat(), InvalidSketch::Number),
        (&[&dense(20, 1)[..6], &[0, 1, 0, 20]].concat(), InvalidSketch::Bin),
        (&dense(15, 1), InvalidSketch::Bin),
        (&dense(20, 2), InvalidSketch::Number),
        (&dense(20, 8), InvalidSketch::Number),
        (&dense(21, 1), InvalidSketch::Contradiction),
        (&dense(u64::MAX, 8), InvalidSketch::Contradiction),
        (&dense(20, 1)[..22], InvalidSketch::Truncated),
    ] {
        assert_eq!(Sketch::decode(bytes), Err(error), "{bytes:?}");
    }
    assert_eq!(Sketch::decode(&[&one[..], &[0, 1, 0, 1]].concat()), Ok(sketch_of(&[1])));
    assert_eq!(Sketch::decode(&dense(20, 1)), Ok(sketch_of(&[1; 20])));
}

#[test]
fn counts_of_every_width() {
    let durations = [1, 2, 3, 40_000_000, 40_000_000, 60_000_000, 3_000_000_000];
    let mut sketch = sketch_of(&durations);
    let mut longest = 0;
    for doubled in 0..58 {
        let bytes = sketch.encode();
        assert_eq!(Sketch::decode(&bytes).as_ref(), Ok(&sketch), "doubled {doubled} times");
        assert_eq!(sketch.quantile(0.5), sketch_of(&durations).quantile(0.5));
        longest = longest.max(bytes.len());
        sketch.merge_bytes(&bytes).expect("few enough");
    }
    assert!(longest > 5 * 8 * BLOCK, "{longest} bytes");
}

#[test]
fn too_many_to_count() {
    let mut half = vec![VERSION];
    for number in [MAX_COUNT, MAX_COUNT] {
        write_number(&mut half, u128::from(number));
    }
    half.extend([0, 0, 0]);
    let mut sketch = Sketch::decode(&half).expect("as many zeros as can be counted");
    assert_eq!(sketch.merge(&sketch_of(&[1])), Err(InvalidSketch::Overflow));
}

fn durations() -> impl Strategy<Value = Vec<u64>> {
    let duration = prop_oneof![
        Just(0),
        1..1_000_u64,
        1..10_000_000_000_u64,
        1..MAX_NANOSECONDS,
        Just(MAX_NANOSECONDS)
    ];
    let alike = prop::collection::vec(5_000..6_000_u64, 0..1_000);
    (prop::collection::vec(duration, 0..200), alike).prop_map(|(all, alike)| [all, alike].concat())
}

proptest! {
    #[test]
    fn merged_is_built_from_all(parts in prop::collection::vec(durations(), 0..6)) {
        let all: Vec<u64> = parts.concat();
        let mut merged = Sketch::default();
        for part in parts.iter().rev() {
            merged.merge_bytes(&sketch_of(part).encode()).expect("our own bytes");
        }
        let mut in_memory = Sketch::default();
        for part in &parts {
            in_memory.merge(&sketch_of(part)).expect("few");
        }
        prop_assert_eq!(merged.encode(), sketch_of(&all).encode());
        prop_assert_eq!(in_memory.encode(), sketch_of(&all).encode());
    }

    #[test]
    fn there_and_back(durations in durations()) {
        let sketch = sketch_of(&durations);
        let bytes = sketch.encode();
        let back = Sketch::decode(&bytes).expect("our own bytes");
        prop_assert_eq!(back.encode(), bytes.clone());
        let sum = durations.iter().map(|d| u128::from(*d)).sum::<u128>();
        prop_assert_eq!(back.head().sum, sum);
        let head = Head::decode(&bytes).expect("our own bytes");
        prop_assert_eq!(&head, sketch.head());
    }

    #[test]
    fn quantiles_are_close(durations in durations(), q in 0.0..=1.0_f64) {
        if !durations.is_empty() {
            is_close(&sketch_of(&durations), &durations, q);
        }
    }

    /// Bytes that decode are canonical: content has one encoding, and decoding never panics.
    #[test]
    fn damaged_bytes(
        durations in durations(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = sketch_of(&durations).encode();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(sketch) = Sketch::decode(&bytes) {
            prop_assert_eq!(sketch.encode(), bytes);
            prop_assert_eq!(sketch.quantile(0.95).is_none(), sketch.head().count == 0);
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(sketch) = Sketch::decode(&bytes) {
            prop_assert_eq!(sketch.encode(), bytes);
        }
    }
}
