//! The on-disk format of a jsonb object, read in place: each event of the tail has one.
//!
//! A header with the number of members; one word for each key and then for each value, with its
//! type and its length (for some entries the end offset instead); then the sorted keys and the
//! values, with numbers aligned to four bytes.

use super::ondisk_numeric;

const COUNT: u32 = 0x0fff_ffff;
const IS_OBJECT: u32 = 0x2000_0000;
const LENGTH: u32 = 0x0fff_ffff;
const KIND: u32 = 0x7000_0000;
const ENDS_THERE: u32 = 0x8000_0000;
const STRING: u32 = 0;
const NUMBER: u32 = 0x1000_0000;

/// Whether the value is an object, not an array or a scalar.
pub fn is_object(jsonb: &[u8]) -> bool {
    word(jsonb, 0).is_some_and(|header| header & IS_OBJECT != 0)
}

/// Whether a call with this payload is a 5xx: its status_code, as text, starts with 5.
pub fn is_5xx(payload: &[u8]) -> bool {
    first_character(payload, b"status_code") == Some(b'5')
}

/// Whether a payload has a usable status code: as text it starts with 1 to 5, so that it is known
/// whether the call is a 5xx.
pub fn has_status(payload: &[u8]) -> bool {
    matches!(first_character(payload, b"status_code"), Some(b'1'..=b'5'))
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(4 * index..4 * index + 4)?.try_into().ok()?))
}

/// The first character of `jsonb ->> key`; `None` if that is NULL or empty, or the value is neither
/// a number nor a string.
pub fn first_character(jsonb: &[u8], key: &[u8]) -> Option<u8> {
    let header = word(jsonb, 0).filter(|header| header & IS_OBJECT != 0)?;
    let count = (header & COUNT) as usize;
    let data = jsonb.get(4 + 8 * count..)?;
    let mut start = 0;
    let mut wanted = None;
    for index in 0..2 * count {
        let entry = word(jsonb, 1 + index)?;
        let length = (entry & LENGTH) as usize;
        let end = if entry & ENDS_THERE != 0 { length } else { start + length };
        if index < count {
            if wanted.is_none() && data.get(start..end)? == key {
                wanted = Some(index + count);
            }
        } else if wanted? == index {
            return match entry & KIND {
                STRING => data.get(start..end)?.first().copied(),
                NUMBER => {
                    let number = data.get(start.next_multiple_of(4)..end)?;
                    // The varlena header comes first. Its short form is one byte, with the lowest
                    // or highest bit set, depending on the byte order.
                    let is_short = number.first()?
                        & if cfg!(target_endian = "little") { 0x01 } else { 0x80 }
                        != 0;
                    Some(ondisk_numeric::first_character(
                        number.get(if is_short { 1 } else { 4 }..)?,
                    ))
                }
                _ => None,
            };
        }
        start = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// {"ab": "x5", "status_code": 503}, byte by byte.
    fn object() -> Vec<u8> {
        let words = [2 | IS_OBJECT, 2, 11, 2, NUMBER | 9];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(b"abstatus_codex5");
        bytes.push(0);
        // A numeric of eight bytes: length, short header of weight 0, one digit.
        bytes.extend((8_u32 << 2).to_ne_bytes());
        bytes.extend([0x8000_u16, 503].iter().flat_map(|word| word.to_ne_bytes()));
        bytes
    }

    #[test]
    fn members() {
        let object = object();
        assert!(is_object(&object));
        assert_eq!(first_character(&object, b"status_code"), Some(b'5'));
        assert_eq!(first_character(&object, b"ab"), Some(b'x'));
        assert_eq!(first_character(&object, b"status"), None);
        assert!(is_5xx(&object) && has_status(&object));
        assert!(!has_status(&[]));
        assert_eq!(first_character(&[], b"ab"), None);
        assert!(!is_object(&(2_u32 | 0x4000_0000).to_ne_bytes()));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            first_character(&bytes, b"status_code");
            is_object(&bytes);
        }

        #[test]
        fn damaged(at in 0..40_usize, byte in any::<u8>()) {
            let mut bytes = object();
            let at = at % bytes.len();
            bytes[at] = byte;
            first_character(&bytes, b"status_code");
        }
    }
}
