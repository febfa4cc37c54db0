//! The on-disk format of a numeric, read in place: each event of the tail has one.

/// A finite number: `sign` × 0.d₁d₂d₃… with digits of base 10,000, scaled by 10,000^(weight + 1).
struct Decimal<'a> {
    is_negative: bool,
    weight: i32,
    digits: &'a [u8],
}

const SPECIAL: u16 = 0xc000;
const SHORT: u16 = 0x8000;
const SHORT_NEGATIVE: u16 = 0x2000;
const SHORT_WEIGHT: u16 = 0x007f;
const NEGATIVE: u16 = 0x4000;

/// The number after its varlena header; `None` for NaN, infinities and truncated bytes.
fn parse(bytes: &[u8]) -> Option<Decimal<'_>> {
    let word = |at: usize| Some(u16::from_ne_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let header = word(0)?;
    if header & SPECIAL == SPECIAL {
        return None;
    }
    if header & SHORT != 0 {
        // A two's complement number of seven bits.
        let weight = i32::from(((header & SHORT_WEIGHT) << 9) as i16 >> 9);
        return Some(Decimal {
            is_negative: header & SHORT_NEGATIVE != 0,
            weight,
            digits: bytes.get(2..)?,
        });
    }
    Some(Decimal {
        is_negative: header & SPECIAL == NEGATIVE,
        weight: i32::from(word(2)? as i16),
        digits: bytes.get(4..)?,
    })
}

impl Decimal<'_> {
    fn digits(&self) -> impl Iterator<Item = u16> {
        self.digits.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
    }
}

/// Milliseconds as nanoseconds, rounded half up; `None` unless finite, not negative and at most
/// `max` nanoseconds.
#[must_use]
pub fn milliseconds_as_nanoseconds(bytes: &[u8], max: u64) -> Option<u64> {
    /// A duration in range has fewer than eight digits of base 10,000.
    const DIGITS: usize = 8;
    let decimal = parse(bytes)?;
    let (mut mantissa, mut count) = (0_u128, 0);
    for digit in decimal.digits().take(DIGITS) {
        mantissa = mantissa * 10_000 + u128::from(digit);
        count += 1;
    }
    if mantissa == 0 {
        return Some(0);
    }
    if decimal.is_negative || decimal.weight > 4 {
        return None;
    }
    let exponent = 4 * (decimal.weight + 1 - count) + 6;
    let scale = 10_u128.checked_pow(exponent.unsigned_abs());
    let nanoseconds = match scale {
        Some(scale) if exponent >= 0 => mantissa.checked_mul(scale)?,
        Some(scale) => (mantissa + scale / 2) / scale,
        None if exponent >= 0 => return None,
        None => 0,
    };
    u64::try_from(nanoseconds).ok().filter(|nanoseconds| *nanoseconds <= max)
}

/// How a duration is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfRange {
    /// NaN: no duration at all.
    NotANumber,
    /// Negative, or minus infinity.
    Negative,
    /// Longer than the longest, or infinity.
    TooLong,
}

/// How a number that [`milliseconds_as_nanoseconds`] refuses is out of range.
#[must_use]
pub fn out_of_range(bytes: &[u8]) -> OutOfRange {
    const POSITIVE_INFINITY: u16 = 0xd000;
    const NEGATIVE_INFINITY: u16 = 0xf000;
    let header = bytes.first_chunk().map_or(SPECIAL, |header| u16::from_ne_bytes(*header));
    match (parse(bytes), header) {
        (Some(Decimal { is_negative: true, .. }), _) | (None, NEGATIVE_INFINITY) => {
            OutOfRange::Negative
        }
        (Some(_), _) | (None, POSITIVE_INFINITY) => OutOfRange::TooLong,
        (None, _) => OutOfRange::NotANumber,
    }
}

/// The first character of the number as text: a digit, `-`, or `N` for NaN.
#[must_use]
pub fn first_character(bytes: &[u8]) -> u8 {
    let Some(decimal) = parse(bytes) else { return b'N' };
    let Some(mut leading) = decimal.digits().next() else { return b'0' };
    if decimal.is_negative {
        return b'-';
    }
    if decimal.weight < 0 {
        return b'0';
    }
    while leading >= 10 {
        leading /= 10;
    }
    b'0' + leading as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::sketch::ddsketch::MAX_NANOSECONDS;

    fn short(is_negative: bool, weight: i32, digits: &[u16]) -> Vec<u8> {
        let header =
            SHORT | if is_negative { SHORT_NEGATIVE } else { 0 } | (weight as u16 & SHORT_WEIGHT);
        [header].iter().chain(digits).flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn long(sign: u16, weight: i16, digits: &[u16]) -> Vec<u8> {
        [sign, weight as u16].iter().chain(digits).flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn nanoseconds(bytes: &[u8]) -> Option<u64> {
        milliseconds_as_nanoseconds(bytes, MAX_NANOSECONDS)
    }

    #[test]
    fn durations() {
        assert_eq!(nanoseconds(&short(false, 0, &[])), Some(0));
        assert_eq!(nanoseconds(&short(false, 0, &[12, 5000])), Some(12_500_000), "12.5 ms");
        assert_eq!(nanoseconds(&short(false, -2, &[1])), Some(0), "0.00000001 ms");
        assert_eq!(
            nanoseconds(&short(false, -2, &[50])),
            Some(1),
            "half a nanosecond is rounded up"
        );
        assert_eq!(nanoseconds(&short(false, 1, &[8640])), Some(MAX_NANOSECONDS));
        assert_eq!(nanoseconds(&short(false, 1, &[8640, 0, 1])), None, "0.0001 ms too long");
        assert_eq!(nanoseconds(&short(false, 0, &[1; 40])), Some(1_000_100), "1.00010001…");
        assert_eq!(nanoseconds(&short(true, 0, &[1])), None);
        assert_eq!(nanoseconds(&long(0, 0, &[7])), Some(7_000_000));
        assert_eq!(nanoseconds(&long(NEGATIVE, 0, &[7])), None);
        assert_eq!(nanoseconds(&long(0, 3000, &[1])), None);
        assert_eq!(nanoseconds(&long(0, -3000, &[1])), Some(0));
        for special in [0xc000, 0xd000, 0xf000] {
            assert_eq!(nanoseconds(&long(special, 0, &[])), None);
        }
        assert_eq!(nanoseconds(&[]), None);
    }

    #[test]
    fn ranges() {
        for (bytes, expected) in [
            (short(true, 0, &[1]), OutOfRange::Negative),
            (long(NEGATIVE, 0, &[7]), OutOfRange::Negative),
            (long(0xf000, 0, &[]), OutOfRange::Negative),
            (short(false, 1, &[8641]), OutOfRange::TooLong),
            (long(0xd000, 0, &[]), OutOfRange::TooLong),
            (long(0xc000, 0, &[]), OutOfRange::NotANumber),
            (vec![], OutOfRange::NotANumber),
        ] {
            assert_eq!(out_of_range(&bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn first_characters() {
        for (bytes, expected) in [
            (short(false, 0, &[503]), b'5'),
            (short(false, 0, &[5]), b'5'),
            (short(false, 1, &[5, 1234]), b'5'),
            (short(false, 0, &[200]), b'2'),
            (short(true, 0, &[500]), b'-'),
            (short(false, -1, &[5000]), b'0'),
            (short(false, 0, &[]), b'0'),
            (long(0xc000, 0, &[]), b'N'),
        ] {
            assert_eq!(first_character(&bytes), expected, "{bytes:?}");
        }
    }
}
