//! Partial rollouts by Unleash's buckets: a flag moved between the two products picks the same
//! users.
//!
//! bucket = murmur3_x86_32(seed 0, "group:user") mod 100 + 1; a user has the feature if bucket ≤
//! percentage. The group is the flag's key at its creation, the user the lower-case text of the
//! uuid. The hash is written here because a flag keeps its state after "group:". An evaluation then
//! hashes only the 36 characters of the user.

/// The bytes of a user's uuid.
pub type UserId = [u8; 16];

/// A rollout group: the state of the hash after "group:".
#[derive(Debug, Clone)]
pub struct Group {
    state: u32,
    length: u32,
    /// The 0 to 3 bytes after the last whole word, in the low bytes.
    tail: u32,
    tail_length: u8,
}

impl Group {
    /// Starts the hash with "group:".
    pub fn new(group: &[u8]) -> Self {
        let mut prefix = group.to_vec();
        prefix.push(b':');
        let (blocks, rest) = prefix.as_chunks::<4>();
        Self {
            state: hash_words(blocks),
            length: prefix.len() as u32,
            tail: word_of(rest),
            tail_length: rest.len() as u8,
        }
    }

    /// Finishes the hash with the text of a uuid. The words are built and shifted in registers:
    /// text written byte by byte and read back in words stalls the processor (store forwarding).
    #[inline]
    fn hash(&self, user: &UserId) -> u32 {
        let words = uuid_text(user);
        let shift = u32::from(self.tail_length) * 8;
        // As 64 bits, so that a shift by a whole word is defined.
        let shifted =
            |low: u32, high: u32| ((u64::from(high) << 32 | u64::from(low)) >> (32 - shift)) as u32;
        let mut state = self.state;
        let mut last = (u64::from(self.tail) << (32 - shift)) as u32;
        for word in words {
            state = mix(state, shifted(last, word));
            last = word;
        }
        // The text is a whole number of words, so as many bytes are left over as before it.
        if shift > 0 {
            state ^= scramble(last >> (32 - shift));
        }
        finish(state, self.length + 4 * words.len() as u32)
    }
}

impl Group {
    /// Finishes the hash with any text, byte by byte.
    fn hash_text(&self, user: &[u8]) -> u32 {
        let mut rest = self.tail.to_le_bytes()[..usize::from(self.tail_length)].to_vec();
        rest.extend_from_slice(user);
        let (words, rest) = rest.as_chunks::<4>();
        let mut state = words.iter().fold(self.state, |s, word| mix(s, u32::from_le_bytes(*word)));
        if !rest.is_empty() {
            state ^= scramble(word_of(rest));
        }
        finish(state, self.length.wrapping_add(user.len() as u32))
    }
}

/// The bucket in `group` of a user with an id that is no uuid, 1 to 100.
pub fn bucket_of_text(group: &Group, user: &[u8]) -> u8 {
    (group.hash_text(user) % 100) as u8 + 1
}

/// The bytes of a uuid in its usual form, 8-4-4-4-12 digits in either case; `None` for any other
/// text, also for the other forms that the type uuid accepts: such an id is hashed as it is.
pub fn parse_uuid(text: &[u8]) -> Option<UserId> {
    if text.len() != 36 {
        return None;
    }
    let mut user = [0; 16];
    let mut digits = 0;
    for (i, c) in text.iter().enumerate() {
        if matches!(i, 8 | 13 | 18 | 23) {
            if *c != b'-' {
                return None;
            }
            continue;
        }
        let digit = char::from(*c).to_digit(16)? as u8;
        let byte = user.get_mut(digits / 2)?;
        *byte = *byte << 4 | digit;
        digits += 1;
    }
    Some(user)
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
fn mix(state: u32, word: u32) -> u32 {
    (state ^ scramble(word)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

#[inline(always)]
fn finish(mut state: u32, length: u32) -> u32 {
    state ^= length;
    state = (state ^ state >> 16).wrapping_mul(0x85eb_ca6b);
    state = (state ^ state >> 13).wrapping_mul(0xc2b2_ae35);
    state ^ state >> 16
}

fn hash_words(words: &[[u8; 4]]) -> u32 {
    words.iter().fold(0, |state, word| mix(state, u32::from_le_bytes(*word)))
}

/// Up to 4 bytes as a little-endian word.
fn word_of(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// The 36 characters of a uuid's text, 8-4-4-4-12, as little-endian words.
#[inline(always)]
fn uuid_text(user: &UserId) -> [u32; 9] {
    const HYPHEN: u64 = b'-' as u64;
    let quarter =
        |i: usize| hex(u32::from_le_bytes([user[i], user[i + 1], user[i + 2], user[i + 3]]));
    // Each quarter is 8 characters; hyphens follow characters 8, 12, 16 and 20.
    let (a, b, c, d) = (quarter(0), quarter(4), quarter(8), quarter(12));
    let (b_low, b_high) = (b & 0xffff_ffff, b >> 32);
    let (c_low, c_high) = (c & 0xffff_ffff, c >> 32);
    let second = HYPHEN | b_low << 8 | HYPHEN << 40 | b_high << 48;
    let third = b_high >> 16 | HYPHEN << 16 | c_low << 24 | HYPHEN << 56;
    let fourth = c_high | d << 32;
    let fifth = d >> 32;
    [
        a as u32,
        (a >> 32) as u32,
        second as u32,
        (second >> 32) as u32,
        third as u32,
        (third >> 32) as u32,
        fourth as u32,
        (fourth >> 32) as u32,
        fifth as u32,
    ]
}

/// The 8 lower-case hexadecimal digits of 4 bytes, first byte lowest. All digits are computed at
/// once, one in each byte of the result.
#[inline(always)]
fn hex(bytes: u32) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW_DIGITS: u64 = 0x000f_000f_000f_000f;
    let mut spread = u64::from(bytes);
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let digits = spread >> 4 & LOW_DIGITS | (spread & LOW_DIGITS) << 8;
    // A digit from 10 on carries into bit 4 when 6 is added; its character is 39 past '0' + 10.
    let letters = (digits + 6 * ONES) >> 4 & ONES;
    digits + u64::from(b'0') * ONES + letters * 39
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn murmur3(bytes: &[u8]) -> u32 {
        let (words, rest) = bytes.as_chunks::<4>();
        let state = hash_words(words);
        finish(
            if rest.is_empty() { state } else { state ^ scramble(word_of(rest)) },
            bytes.len() as u32,
        )
    }

    fn text_of(user: &UserId) -> String {
        let bytes: Vec<u8> = uuid_text(user).into_iter().flat_map(u32::to_le_bytes).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn nth_user(n: u32) -> UserId {
        // Reproducible ids in the form of version 4 uuids.
        let mut user = (u128::from(n) + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            .to_be_bytes();
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

    /// Values that Unleash publishes for its SDKs: group "gr1" with users 123 and 999, "groupX"
    /// with sample ids.
    #[test]
    fn published_vectors_of_unleash() {
        for (group, user, bucket) in [("gr1", "123", 73), ("groupX", "999", 25)] {
            assert_eq!(
                murmur3(format!("{group}:{user}").as_bytes()) % 100 + 1,
                bucket,
                "{group}:{user}"
            );
        }
    }

    #[test]
    fn the_text_of_a_uuid() {
        let user = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128.to_be_bytes();
        assert_eq!(text_of(&user), "01234567-89ab-cdef-fedc-ba9876543210");
    }

    /// Pearson's test, 1,000,000 ids in 100 buckets: with 99 degrees of freedom, 1 in 1,000 exceeds
    /// 148.2.
    #[test]
    fn buckets_are_uniform() {
        for key in ["tracker_pro", "advanced_filters", "x"] {
            let group = Group::new(key.as_bytes());
            let mut counts = [0_u32; 100];
            for n in 0..1_000_000 {
                counts[usize::from(bucket(&group, &nth_user(n))) - 1] += 1;
            }
            let chi_square: f64 =
                counts.iter().map(|c| (f64::from(*c) - 10_000.0).powi(2) / 10_000.0).sum();
            assert!(chi_square < 148.2, "{key}: {chi_square}");
        }
    }

    /// Two flags at 50 % share a quarter of all users. With 1,000,000 ids the standard deviation is
    /// 433; the test allows five of them.
    #[test]
    fn flags_pick_their_users_independently() {
        let groups = ["tracker_pro", "advanced_filters", "tracker_pro2"]
            .map(|key| Group::new(key.as_bytes()));
        for (i, a) in groups.iter().enumerate() {
            for b in &groups[i + 1..] {
                let both = (0..1_000_000)
                    .filter(|n| bucket(a, &nth_user(*n)) <= 50 && bucket(b, &nth_user(*n)) <= 50)
                    .count() as i64;
                assert!((both - 250_000).abs() < 5 * 433, "{both}");
            }
        }
    }

    /// Every user, at every percentage from 0 to 100: on from the bucket upwards, never off again.
    #[test]
    fn rollouts_are_monotone() {
        use crate::flags::model::{Context, Flag, Targeting};
        let flags: Vec<Flag> = (0..=100)
            .map(|percentage| {
                Flag::new(true, percentage, b"tracker_pro", vec![], Targeting::default())
            })
            .collect();
        for n in 0..20_000 {
            let user = nth_user(n);
            let bucket = usize::from(bucket(&Group::new(b"tracker_pro"), &user));
            for (percentage, flag) in flags.iter().enumerate() {
                assert_eq!(
                    flag.decide(Some(&user), |_| Context::Unknown).is_on(),
                    percentage >= bucket,
                    "user {n}, {percentage} %"
                );
            }
        }
    }

    #[test]
    fn text_ids_have_unleashs_buckets() {
        for (group, user, expected) in [("gr1", "123", 73), ("groupX", "999", 25)] {
            assert_eq!(bucket_of_text(&Group::new(group.as_bytes()), user.as_bytes()), expected);
        }
    }

    #[test]
    fn only_the_usual_form_is_a_uuid() {
        let user = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128.to_be_bytes();
        assert_eq!(parse_uuid(b"01234567-89ab-cdef-fedc-ba9876543210"), Some(user));
        assert_eq!(parse_uuid(b"01234567-89AB-CDEF-FEDC-BA9876543210"), Some(user));
        for text in [
            "0123456789abcdeffedcba9876543210",
            "{01234567-89ab-cdef-fedc-9a98765432}",
            "01234567-89ab-cdef-fedc-9a987654321g",
            "auth0|0123456789abcdeffedcba98765432",
            "",
        ] {
            assert_eq!(parse_uuid(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_uuid_has_the_bucket_of_its_text(group: Vec<u8>, user: UserId) {
            let group = Group::new(&group);
            let text = text_of(&user);
            prop_assert_eq!(bucket_of_text(&group, text.as_bytes()), bucket(&group, &user));
            prop_assert_eq!(parse_uuid(text.as_bytes()), Some(user));
        }

        #[test]
        fn text_ids_are_hashed_as_they_are(group: Vec<u8>, user: Vec<u8>) {
            let whole = [group.as_slice(), b":", &user].concat();
            prop_assert_eq!(Group::new(&group).hash_text(&user), murmur3(&whole));
        }

        #[test]
        fn equal_to_the_reference_implementation(group: Vec<u8>, user: UserId) {
            let mut whole = group.clone();
            whole.push(b':');
            whole.extend_from_slice(text_of(&user).as_bytes());
            let reference =
                murmur3::murmur3_32(&mut whole.as_slice(), 0).expect("reading from memory");
            prop_assert_eq!(Group::new(&group).hash(&user), reference);
            prop_assert_eq!(murmur3(&whole), reference);
        }

        #[test]
        fn buckets_are_1_to_100(group: Vec<u8>, user: UserId) {
            prop_assert!((1..=100).contains(&bucket(&Group::new(&group), &user)));
        }
    }
}
