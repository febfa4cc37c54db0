//! Which users are in a partial rollout: Unleash's buckets, so that a flag moved between the two picks the same users.
//!
//! bucket = murmur3_x86_32(seed 0, "group:user") mod 100 + 1, and a user is in when bucket ≤ percentage. The group is the flag's key
//! at its creation, the user is the lower-case text of the uuid. The state after "group:" is kept with the flag, so an evaluation
//! hashes only the 36 characters of the user; that is why the few lines of the hash stand here.

use super::model::UserId;

/// A rollout group: the hash's state after "group:".
#[derive(Debug, Clone)]
pub struct Group {
    state: u32,
    length: u32,
    tail: [u8; 3],
    tail_length: u8,
}

impl Group {
    /// Starts the hash with "group:".
    pub fn new(group: &[u8]) -> Self {
        let mut prefix = group.to_vec();
        prefix.push(b':');
        let (blocks, rest) = prefix.as_chunks::<4>();
        let mut tail = [0; 3];
        tail[..rest.len()].copy_from_slice(rest);
        Self {
            state: blocks.iter().fold(0, |state, block| mix(state, *block)),
            length: prefix.len() as u32,
            tail,
            tail_length: rest.len() as u8,
        }
    }

    /// Finishes the hash with the text of a uuid.
    #[inline]
    fn hash(&self, user: &UserId) -> u32 {
        const TEXT: usize = 36;
        let offset = usize::from(self.tail_length);
        let mut bytes = [0_u8; 3 + TEXT];
        bytes[..3].copy_from_slice(&self.tail);
        write_uuid(user, &mut bytes[offset..offset + TEXT]);
        // 36 is a multiple of 4, so the bytes left over are as many as before.
        let (blocks, _) = bytes.as_chunks::<4>();
        let state = blocks.iter().take(TEXT / 4).fold(self.state, |state, block| mix(state, *block));
        let rest = &bytes[TEXT..TEXT + offset];
        finish(state, rest, self.length + TEXT as u32)
    }
}

/// The bucket of `user` in `group`, 1 to 100.
#[inline]
pub fn bucket(group: &Group, user: &UserId) -> u8 {
    (group.hash(user) % 100) as u8 + 1
}

const C1: u32 = 0xcc9e_2d51;
const C2: u32 = 0x1b87_3593;

#[inline(always)]
fn scramble(block: u32) -> u32 {
    block.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2)
}

#[inline(always)]
fn mix(state: u32, block: [u8; 4]) -> u32 {
    (state ^ scramble(u32::from_le_bytes(block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

#[inline(always)]
fn finish(mut state: u32, rest: &[u8], length: u32) -> u32 {
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        state ^= scramble(last);
    }
    state ^= length;
    state = (state ^ state >> 16).wrapping_mul(0x85eb_ca6b);
    state = (state ^ state >> 13).wrapping_mul(0xc2b2_ae35);
    state ^ state >> 16
}

/// The two lower-case hexadecimal digits of every byte.
static HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    table
};

#[inline(always)]
fn write_uuid(user: &UserId, text: &mut [u8]) {
    const OFFSETS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let text = &mut text[..36];
    for (byte, offset) in user.iter().zip(OFFSETS) {
        text[offset..offset + 2].copy_from_slice(&HEX[usize::from(*byte)]);
    }
    for hyphen in [8, 13, 18, 23] {
        text[hyphen] = b'-';
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn murmur3(bytes: &[u8]) -> u32 {
        let (blocks, rest) = bytes.as_chunks::<4>();
        finish(blocks.iter().fold(0, |state, block| mix(state, *block)), rest, bytes.len() as u32)
    }

    fn uuid_text(user: &UserId) -> String {
        let mut text = [0; 36];
        write_uuid(user, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    fn nth_user(n: u32) -> UserId {
        // Well-spread but reproducible ids, in the form of version 4 uuids.
        let mut user = (u128::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes();
        user[6] = user[6] & 0x0f | 0x40;
        user[8] = user[8] & 0x3f | 0x80;
        user
    }

    /// Vectors of murmur3_x86_32 with seed 0 as published with the algorithm and its ports.
    #[test]
    fn published_vectors_of_murmur3() {
        let vectors: [(&[u8], u32); 10] = [
            (b"", 0x0000_0000),
            (b"\0", 0x514e_28b7),
            (b"\0\0", 0x30f4_c306),
            (b"\0\0\0", 0x85f0_b427),
            (b"\0\0\0\0", 0x2362_f9de),
            (b"\xff\xff\xff\xff", 0x7629_3b50),
            (b"\x21\x43\x65\x87", 0xf55b_516b),
            (b"\x21\x43\x65", 0x7e4a_8634),
            (b"\x21\x43", 0xa0f7_b07a),
            (b"\x21", 0x7266_1cf4),
        ];
        for (input, hash) in vectors {
            assert_eq!(murmur3(input), hash, "{input:02x?}");
        }
    }

    /// The normalised values that Unleash publishes for its SDKs: group "gr1" with users 123 and 999, "groupX" with sample ids.
    #[test]
    fn published_vectors_of_unleash() {
        for (group, user, bucket) in [("gr1", "123", 73), ("groupX", "999", 25)] {
            assert_eq!(murmur3(format!("{group}:{user}").as_bytes()) % 100 + 1, bucket, "{group}:{user}");
        }
    }

    #[test]
    fn the_text_of_a_uuid() {
        let user = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128.to_be_bytes();
        assert_eq!(uuid_text(&user), "01234567-89ab-cdef-fedc-ba9876543210");
    }

    /// Pearson's test on 1,000,000 ids in 100 buckets: 99 degrees of freedom, and 1 in 1,000 exceeds 148.2.
    #[test]
    fn buckets_are_uniform() {
        for key in ["tracker_pro", "advanced_filters", "x"] {
            let group = Group::new(key.as_bytes());
            let mut counts = [0_u32; 100];
            for n in 0..1_000_000 {
                counts[usize::from(bucket(&group, &nth_user(n))) - 1] += 1;
            }
            let chi_square: f64 = counts.iter().map(|c| (f64::from(*c) - 10_000.0).powi(2) / 10_000.0).sum();
            assert!(chi_square < 148.2, "{key}: {chi_square}");
        }
    }

    /// Two flags at 50 % must share a quarter of all users: with 1,000,000 ids the standard deviation is 433, five of them allowed.
    #[test]
    fn flags_pick_their_users_independently() {
        let groups = ["tracker_pro", "advanced_filters", "tracker_pro2"].map(|key| Group::new(key.as_bytes()));
        for (i, a) in groups.iter().enumerate() {
            for b in &groups[i + 1..] {
                let both = (0..1_000_000)
                    .filter(|n| bucket(a, &nth_user(*n)) <= 50 && bucket(b, &nth_user(*n)) <= 50)
                    .count() as i64;
                assert!((both - 250_000).abs() < 5 * 433, "{both}");
            }
        }
    }

    proptest! {
        #[test]
        fn equal_to_the_reference_implementation(group: Vec<u8>, user: UserId) {
            let mut whole = group.clone();
            whole.push(b':');
            whole.extend_from_slice(uuid_text(&user).as_bytes());
            let reference = murmur3::murmur3_32(&mut whole.as_slice(), 0).expect("reading from memory");
            prop_assert_eq!(Group::new(&group).hash(&user), reference);
            prop_assert_eq!(murmur3(&whole), reference);
        }

        #[test]
        fn buckets_are_1_to_100(group: Vec<u8>, user: UserId) {
            prop_assert!((1..=100).contains(&bucket(&Group::new(&group), &user)));
        }
    }
}
