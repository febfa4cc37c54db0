//! A quantile sketch of durations: DDSketch (Masson, Rim, Lee: "DDSketch: a fast and
//! fully-mergeable quantile sketch", VLDB 2019) with a fixed mapping, exact integer sums, and
//! exactly one encoding of each content.
//!
//! Durations are whole nanoseconds up to [`MAX_NANOSECONDS`]. Bin `k` holds those in
//! (γ^(k-1), γ^k] with γ = (1 + α) / (1 - α), so that 2 γ^k / (γ + 1) is within α of each of them.
//! Bins are never collapsed: the whole range has about 1,600.

use super::encoding::{BLOCK, BLOCKS, Block, FORM_BITS, Form, InvalidSketch, Reader, write_number};
use std::sync::LazyLock;

/// α: the relative error of a quantile, compared with `percentile_disc`.
pub const RELATIVE_ERROR: f64 = 0.01;

/// The longest duration that a sketch holds: 24 hours.
pub const MAX_NANOSECONDS: u64 = 86_400_000_000_000;

/// The first byte of an encoding: the version of layout, unit and α.
const VERSION: u8 = 2;

const GAMMA: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);

/// γ^k for all bins, and for each pattern of leading bits the first possible bin.
struct Mapping {
    upper_bounds: Vec<f64>,
    first_bins: Vec<u16>,
}

/// Computed by repeated multiplication, not by a logarithm: bounds are the same on every machine,
/// and no bin is off by one.
static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
    let mut upper_bounds = vec![1.0_f64];
    while upper_bounds[upper_bounds.len() - 1] < MAX_NANOSECONDS as f64 {
        upper_bounds.push(upper_bounds[upper_bounds.len() - 1] * GAMMA);
    }
    let slots = leading_bits(MAX_NANOSECONDS as f64) + 1;
    let first_bins = (0..slots)
        .map(|slot| {
            let least = f64::from_bits((slot as u64 + LEADING_BITS_OF_ONE) << LEADING_SHIFT);
            upper_bounds.partition_point(|bound| *bound < least) as u16
        })
        .collect();
    Mapping { upper_bounds, first_bins }
});

/// Exponent and four bits of the fraction: a slot spans at most 6.25 %, hence at most four bins.
const LEADING_SHIFT: u32 = 48;
const LEADING_BITS_OF_ONE: u64 = 1.0_f64.to_bits() >> LEADING_SHIFT;

fn leading_bits(value: f64) -> usize {
    ((value.to_bits() >> LEADING_SHIFT) - LEADING_BITS_OF_ONE) as usize
}

/// The bin of a duration from 1 to [`MAX_NANOSECONDS`].
fn bin_of(nanoseconds: u64) -> usize {
    let mapping = &*MAPPING;
    let value = nanoseconds as f64;
    let mut bin = usize::from(mapping.first_bins[leading_bits(value)]);
    while mapping.upper_bounds[bin] < value {
        bin += 1;
    }
    bin
}

/// A set of durations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sketch {
    head: Head,
    /// Blocks from `first_block` on; the first and the last are not empty.
    blocks: Vec<Block>,
    first_block: usize,
}

impl Sketch {
    /// Count, sum and maximum.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Adds a duration, clamped to [`MAX_NANOSECONDS`].
    pub fn add(&mut self, nanoseconds: u64) {
        let nanoseconds = nanoseconds.min(MAX_NANOSECONDS);
        let head = &mut self.head;
        head.min = if head.count == 0 { nanoseconds } else { head.min.min(nanoseconds) };
        head.max = head.max.max(nanoseconds);
        head.count += 1;
        head.sum += u128::from(nanoseconds);
        if nanoseconds == 0 {
            head.zeros += 1;
        } else {
            let bin = bin_of(nanoseconds);
            self.block_mut(bin / BLOCK)[bin % BLOCK] += 1;
        }
    }

    fn block_mut(&mut self, block: usize) -> &mut Block {
        if self.blocks.is_empty() {
            self.first_block = block;
            // Most sketches have one block; a Vec would reserve four.
            self.blocks.reserve_exact(1);
        }
        if block < self.first_block {
            let missing = self.first_block - block;
            self.blocks.splice(0..0, std::iter::repeat_n([0; BLOCK], missing));
            self.first_block = block;
        }
        let index = block - self.first_block;
        if index >= self.blocks.len() {
            self.blocks.resize(index + 1, [0; BLOCK]);
        }
        &mut self.blocks[index]
    }

    /// Merges another sketch.
    pub fn merge(&mut self, other: &Self) -> Result<(), InvalidSketch> {
        self.head.merge(&other.head)?;
        for (block, counts) in (other.first_block..).zip(&other.blocks) {
            self.block_mut(block).iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        Ok(())
    }

    /// Merges an encoded sketch. After an error the content is undefined.
    pub fn merge_bytes(&mut self, bytes: &[u8]) -> Result<(), InvalidSketch> {
        let (head, mut reader) = Head::read(bytes)?;
        self.head.merge(&head)?;
        let mut left = head.count - head.zeros;
        let (mut next, mut lowest, mut highest) = (0, None, None);
        while left > 0 {
            let header = reader.number()?;
            let gap = usize::try_from(header >> FORM_BITS)
                .ok()
                .filter(|gap| *gap < BLOCKS)
                .ok_or(InvalidSketch::Bin)?;
            let block =
                Some(next + gap).filter(|block| *block < BLOCKS).ok_or(InvalidSketch::Bin)?;
            let added = reader.add_block(Form::of(header)?, self.block_mut(block))?;
            left = left.checked_sub(added.sum).ok_or(InvalidSketch::Contradiction)?;
            if lowest.is_none() {
                lowest = added.used.first().map(|bin| block * BLOCK + bin);
            }
            if left == 0 {
                highest = added.used.last().map(|bin| block * BLOCK + bin);
            }
            next = block + 1;
        }
        reader.end()?;
        let is_bin =
            |bin: Option<usize>, nanoseconds| bin.is_none_or(|bin| bin == bin_of(nanoseconds));
        let is_consistent =
            is_bin(highest, head.max) && (head.zeros > 0 || is_bin(lowest, head.min));
        if is_consistent { Ok(()) } else { Err(InvalidSketch::Contradiction) }
    }

    /// Decodes untrusted bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidSketch> {
        let mut sketch = Self::default();
        sketch.merge_bytes(bytes)?;
        Ok(sketch)
    }

    /// The canonical encoding: version, count, count of zeros, sum; unless empty, minimum, maximum
    /// and the blocks that are not empty, each with the number of empty blocks before it and its
    /// form. All numbers are LEB128.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + 3 * BLOCK * self.blocks.len());
        bytes.push(VERSION);
        let Head { count, zeros, sum, min, max } = self.head;
        write_number(&mut bytes, u128::from(count));
        if count == 0 {
            return bytes;
        }
        for number in [u128::from(zeros), sum, u128::from(min), u128::from(max)] {
            write_number(&mut bytes, number);
        }
        let mut next = 0;
        for (block, counts) in (self.first_block..).zip(&self.blocks) {
            let Some(form) = Form::for_counts(counts) else { continue };
            write_number(&mut bytes, ((block - next) << FORM_BITS | form as usize) as u128);
            let width = form.width();
            if form == Form::Sparse {
                let mask = (0..BLOCK)
                    .filter(|bin| counts[*bin] > 0)
                    .fold(0_u16, |mask, bin| mask | 1 << bin);
                bytes.extend(mask.to_le_bytes());
            }
            let written = counts.iter().filter(|count| form != Form::Sparse || **count > 0);
            written.for_each(|count| bytes.extend(&count.to_le_bytes()[..width]));
            next = block + 1;
        }
        bytes
    }

    /// The q-quantile in nanoseconds, within [`RELATIVE_ERROR`] of `percentile_disc(q)`; `None` if
    /// empty. `q` is from 0 to 1.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let Head { count, zeros, min, max, .. } = self.head;
        if count == 0 {
            return None;
        }
        let rank = ((q * count as f64).ceil() as u64).clamp(1, count);
        if rank == count {
            return Some(max as f64);
        }
        if rank <= zeros {
            return Some(0.0);
        }
        let mut seen = zeros;
        let index = self.blocks.as_flattened().iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        let estimate = 2.0 * MAPPING.upper_bounds[self.first_block * BLOCK + index] / (GAMMA + 1.0);
        Some(estimate.clamp(min as f64, max as f64))
    }
}

/// The largest count that fits bigint.
const MAX_COUNT: u64 = i64::MAX as u64;

/// The fields before the bins: enough for averages.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Head {
    /// Number of durations.
    pub count: u64,
    zeros: u64,
    /// Their sum in nanoseconds.
    pub sum: u128,
    min: u64,
    /// The longest, in nanoseconds; 0 if empty.
    pub max: u64,
}

impl Head {
    fn merge(&mut self, other: &Self) -> Result<(), InvalidSketch> {
        if other.count == 0 {
            return Ok(());
        }
        let count = self.count.checked_add(other.count).filter(|count| *count <= MAX_COUNT);
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count = count.ok_or(InvalidSketch::Overflow)?;
        self.zeros += other.zeros;
        self.sum += other.sum;
        Ok(())
    }

    /// Decodes the fields before the bins.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidSketch> {
        Self::read(bytes).map(|(head, _)| head)
    }

    fn read(bytes: &[u8]) -> Result<(Self, Reader<'_>), InvalidSketch> {
        let mut reader = match bytes.split_first() {
            Some((&VERSION, rest)) => Reader(rest),
            Some(_) => return Err(InvalidSketch::Version),
            None => return Err(InvalidSketch::Truncated),
        };
        let count = reader.number()?;
        if count == 0 {
            return Ok((Self::default(), reader));
        }
        let (zeros, sum) = (reader.number()?, reader.long_number()?);
        let (min, max) = (reader.number()?, reader.number()?);
        let within = |bound: u64| u128::from(bound) * u128::from(count);
        let is_consistent = count <= MAX_COUNT
            && zeros <= count
            && min <= max
            && max <= MAX_NANOSECONDS
            && (min == 0) == (zeros > 0)
            && (max == 0) == (zeros == count)
            && (within(min)..=within(max)).contains(&sum);
        if !is_consistent {
            return Err(InvalidSketch::Contradiction);
        }
        Ok((Self { count, zeros, sum, min, max }, reader))
    }
}

#[cfg(test)]
mod tests;
