//! A line of block characters, one per minute. Pure.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The character of a minute without data.
pub const NO_DATA: char = '·';

/// Draws values; `None` is a minute without data. A full block is the larger of `threshold` and the
/// highest value, so that healthy values stay low.
#[must_use]
pub fn draw(values: &[Option<f64>], threshold: f64) -> String {
    let full = values.iter().flatten().copied().fold(threshold, f64::max);
    let block = |value: f64| {
        let eighths = if full > 0.0 { (value / full * BLOCKS.len() as f64).ceil() } else { 0.0 };
        BLOCKS[(eighths as usize).clamp(1, BLOCKS.len()) - 1]
    };
    values.iter().map(|value| value.map_or(NO_DATA, block)).collect()
}

/// Draws two values in a character: the higher one.
#[must_use]
pub fn draw_pairs(values: &[Option<f64>], threshold: f64) -> String {
    let higher = |pair: &[Option<f64>]| pair.iter().flatten().copied().reduce(f64::max);
    draw(&values.chunks(2).map(higher).collect::<Vec<_>>(), threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_shows_its_higher_value() {
        let values = [None, None, Some(0.0), Some(5.0), None, Some(2.5), Some(0.0)];
        assert_eq!(draw_pairs(&values, 5.0), "·█▄▁");
    }

    #[test]
    fn lines() {
        assert_eq!(draw(&[], 5.0), "");
        assert_eq!(draw(&[None, Some(0.0), Some(2.5), Some(5.0)], 5.0), "·▁▄█");
        assert_eq!(
            draw(&[Some(5.0), Some(100.0)], 5.0),
            "▁█",
            "above the threshold the highest value is full"
        );
        assert_eq!(draw(&[Some(0.0)], 0.0), "▁");
    }
}
