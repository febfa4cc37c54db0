//! The encoding of a sketch: numbers as LEB128, and blocks of counts that are added while they are
//! decoded.

/// A defect of encoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSketch {
    /// The first byte is not the version of a sketch.
    #[error("the first byte is not that of a latency sketch")]
    Version,
    /// The bytes end too soon.
    #[error("the bytes end too soon")]
    Truncated,
    /// Bytes follow the sketch.
    #[error("bytes follow the sketch")]
    TooLong,
    /// A number is not in its shortest form, or too large.
    #[error("a number in it is malformed")]
    Number,
    /// A bin is outside the range, out of order or empty.
    #[error("a bin in it is out of place")]
    Bin,
    /// Count, sum, minimum, maximum and bins contradict each other.
    #[error("its parts contradict each other")]
    Contradiction,
    /// The counts overflow.
    #[error("it would hold too many durations")]
    Overflow,
}

/// Bins per block. Blocks of this size are added with vector instructions.
pub(crate) const BLOCK: usize = 16;

/// The counts of a block's bins.
pub(crate) type Block = [u64; BLOCK];

/// A block with fewer durations is encoded sparsely, as its non-empty bins.
const DENSE: u64 = 16;

/// The form of an encoded block, which its counts determine. Dense: every count in 1, 2, 4 or 8
/// bytes, as the largest needs, little-endian. Sparse: two bytes with a bit for each non-empty bin,
/// and one byte for each of their counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Sparse,
    Dense1,
    Dense2,
    Dense4,
    Dense8,
}

/// Bits of a block's first number that encode the form.
pub(crate) const FORM_BITS: u32 = 3;

/// The number of blocks that holds every bin.
pub(crate) const BLOCKS: usize = 128;

impl Form {
    /// The form encoded in the first number of a block.
    pub(crate) fn of(header: u64) -> Result<Self, InvalidSketch> {
        match header & ((1 << FORM_BITS) - 1) {
            0 => Ok(Self::Sparse),
            1 => Ok(Self::Dense1),
            2 => Ok(Self::Dense2),
            3 => Ok(Self::Dense4),
            4 => Ok(Self::Dense8),
            _ => Err(InvalidSketch::Number),
        }
    }

    /// `None` for an empty block.
    pub(crate) fn for_counts(counts: &Block) -> Option<Self> {
        match (counts.iter().sum(), counts.iter().fold(0, |bits, count| bits | count)) {
            (0, _) => None,
            (1..DENSE, _) => Some(Self::Sparse),
            (_, 0..=0xff) => Some(Self::Dense1),
            (_, 0x100..=0xffff) => Some(Self::Dense2),
            (_, 0x1_0000..=0xffff_ffff) => Some(Self::Dense4),
            _ => Some(Self::Dense8),
        }
    }

    /// Bytes per count.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::Sparse | Self::Dense1 => 1,
            Self::Dense2 => 2,
            Self::Dense4 => 4,
            Self::Dense8 => 8,
        }
    }
}

/// The effect of adding a block.
pub(crate) struct Added<'a> {
    /// Number of durations.
    pub(crate) sum: u64,
    /// The bins that received counts.
    pub(crate) used: Used<'a>,
}

/// The non-empty bins of a block, as a bit mask.
pub(crate) enum Used<'a> {
    Sparse(u16),
    Dense { counts: &'a [u8], width: usize },
}

impl Used<'_> {
    /// The first non-empty bin of the block.
    pub(crate) fn first(&self) -> Option<usize> {
        match self {
            Self::Sparse(mask) => Some(mask.trailing_zeros() as usize),
            Self::Dense { counts, width } => {
                counts.iter().position(|byte| *byte > 0).map(|byte| byte / width)
            }
        }
    }

    /// The last non-empty bin of the block.
    pub(crate) fn last(&self) -> Option<usize> {
        match self {
            Self::Sparse(mask) => mask.checked_ilog2().map(|bin| bin as usize),
            Self::Dense { counts, width } => {
                counts.iter().rposition(|byte| *byte > 0).map(|byte| byte / width)
            }
        }
    }
}

/// Writes a number as LEB128.
pub(crate) fn write_number(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The bytes that are not decoded yet.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// Decodes a LEB128 number in its shortest form.
    pub(crate) fn number(&mut self) -> Result<u64, InvalidSketch> {
        if let Some((&byte, rest)) = self.0.split_first()
            && byte < 0x80
        {
            self.0 = rest;
            return Ok(u64::from(byte));
        }
        u64::try_from(self.long_number()?).map_err(|_| InvalidSketch::Number)
    }

    /// The same with 128 bits, for sums.
    pub(crate) fn long_number(&mut self) -> Result<u128, InvalidSketch> {
        let mut number = 0_u128;
        for position in 0..19 {
            let (&byte, rest) = self.0.split_first().ok_or(InvalidSketch::Truncated)?;
            self.0 = rest;
            let bits = u128::from(byte & 0x7f);
            if (position == 18 && bits > 3) || (position > 0 && byte == 0) {
                return Err(InvalidSketch::Number);
            }
            number |= bits << (7 * position);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(InvalidSketch::Number)
    }

    /// Decodes a block and adds its counts. After an error `to` is undefined.
    pub(crate) fn add_block(
        &mut self,
        form: Form,
        to: &mut Block,
    ) -> Result<Added<'a>, InvalidSketch> {
        match form {
            Form::Sparse => self.add_sparse(to),
            Form::Dense1 => self.add_dense::<1>(to),
            Form::Dense2 => self.add_dense::<2>(to),
            Form::Dense4 => self.add_dense::<4>(to),
            Form::Dense8 => self.add_dense::<8>(to),
        }
    }

    fn add_sparse(&mut self, to: &mut Block) -> Result<Added<'a>, InvalidSketch> {
        let (bits, rest) = self.0.split_first_chunk().ok_or(InvalidSketch::Truncated)?;
        let mask = u16::from_le_bytes(*bits);
        let (counts, rest) =
            rest.split_at_checked(mask.count_ones() as usize).ok_or(InvalidSketch::Truncated)?;
        self.0 = rest;
        let (mut left, mut sum) = (mask, 0);
        for count in counts {
            if *count == 0 {
                return Err(InvalidSketch::Bin);
            }
            let count = u64::from(*count);
            to[left.trailing_zeros() as usize % BLOCK] += count;
            sum += count;
            left &= left - 1;
        }
        if !(1..DENSE).contains(&sum) {
            return Err(InvalidSketch::Bin);
        }
        Ok(Added { sum, used: Used::Sparse(mask) })
    }

    fn add_dense<const WIDTH: usize>(
        &mut self,
        to: &mut Block,
    ) -> Result<Added<'a>, InvalidSketch> {
        let (bytes, rest) =
            self.0.split_at_checked(WIDTH * BLOCK).ok_or(InvalidSketch::Truncated)?;
        self.0 = rest;
        let (counts, _) = bytes.as_chunks::<WIDTH>();
        let number = |count: &[u8; WIDTH]| {
            let mut number = [0; 8];
            number[..WIDTH].copy_from_slice(count);
            u64::from_le_bytes(number)
        };
        // Only 8-byte counts can overflow.
        if WIDTH == 8
            && counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(number(count))).is_none()
        {
            return Err(InvalidSketch::Contradiction);
        }
        let (mut sum, mut bits) = (0, 0);
        for (to, count) in to.iter_mut().zip(counts) {
            let count = number(count);
            *to = to.wrapping_add(count);
            sum += count;
            bits |= count;
        }
        if sum < DENSE {
            return Err(InvalidSketch::Bin);
        }
        if WIDTH > 1 && bits >> (8 * (WIDTH / 2)) == 0 {
            return Err(InvalidSketch::Number);
        }
        Ok(Added { sum, used: Used::Dense { counts: bytes, width: WIDTH } })
    }

    /// Fails if bytes are left.
    pub(crate) fn end(&self) -> Result<(), InvalidSketch> {
        if self.0.is_empty() { Ok(()) } else { Err(InvalidSketch::TooLong) }
    }
}
