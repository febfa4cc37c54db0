//! Members of a tar file, as pg_dump and pg_basebackup write them. Pure.

use std::io::{self, Read, Seek, SeekFrom};

const BLOCK: u64 = 512;

/// A member of a tar file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// The place of its first byte.
    pub start: u64,
}

/// The end of a search for members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The file ends as a tar file does, with a block of zeros.
    Complete,
    /// It ends in this member, or before the last block.
    Truncated(Option<String>),
    /// A header has no plausible checksum.
    Damaged,
    /// The callback has seen enough.
    Stopped,
}

/// Calls `work` with each member, until it returns `false`.
pub fn members<R: Read + Seek>(
    reader: &mut R,
    mut work: impl FnMut(&Member) -> bool,
) -> io::Result<End> {
    let length = reader.seek(SeekFrom::End(0))?;
    let mut at = 0;
    let mut last = None;
    loop {
        if at + BLOCK > length {
            return Ok(End::Truncated(last));
        }
        let mut header = [0; BLOCK as usize];
        reader.seek(SeekFrom::Start(at))?;
        reader.read_exact(&mut header)?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(End::Complete);
        }
        let Some(size) = has_valid_checksum(&header).then(|| number(&header[124..136])).flatten()
        else {
            return Ok(End::Damaged);
        };
        let start = at + BLOCK;
        let member = Member { name: text(&header[..100]), size, start };
        last = Some(member.name.clone());
        if size > length - start {
            return Ok(End::Truncated(last));
        }
        if !work(&member) {
            return Ok(End::Stopped);
        }
        at = start + size.div_ceil(BLOCK) * BLOCK;
    }
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// A number in octal digits, or in bytes after a first byte 0x80.
fn number(field: &[u8]) -> Option<u64> {
    if field.first() == Some(&0x80) {
        let bytes = field.get(field.len() - 8..)?;
        return Some(u64::from_be_bytes(bytes.try_into().ok()?));
    }
    let digits = text(field);
    u64::from_str_radix(digits.trim(), 8).ok()
}

/// The sum of all bytes of a header, its own field counted as spaces.
fn has_valid_checksum(header: &[u8]) -> bool {
    let outside = |at: &usize| !(148..156).contains(at);
    let sum: u64 = (0..header.len()).filter(outside).map(|at| u64::from(header[at])).sum();
    number(&header[148..156]) == Some(sum + 8 * u64::from(b' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A tar file of these members, with the two blocks at its end.
    fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut file = Vec::new();
        for (name, data) in members {
            let mut header = [0_u8; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
            header[257..262].copy_from_slice(b"ustar");
            header[148..156].fill(b' ');
            let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            file.extend_from_slice(&header);
            file.extend_from_slice(data);
            file.resize(file.len().next_multiple_of(512), 0);
        }
        file.resize(file.len() + 1024, 0);
        file
    }

    fn names(file: &[u8]) -> (Vec<String>, End) {
        let mut names = Vec::new();
        let end = members(&mut Cursor::new(file), |member| {
            names.push(member.name.clone());
            true
        });
        (names, end.expect("readable"))
    }

    #[test]
    fn members_are_listed_to_the_end() {
        let file = tar(&[("toc.dat", b"PGDMP"), ("1.dat", &[7; 513]), ("empty", b"")]);
        let (found, end) = names(&file);
        assert_eq!(found, ["toc.dat", "1.dat", "empty"]);
        assert_eq!(end, End::Complete);
        let mut data = Vec::new();
        let mut reader = Cursor::new(&file);
        let end = members(&mut reader, |member| {
            data.push((member.start, member.size));
            false
        });
        assert_eq!(end.expect("readable"), End::Stopped);
        assert_eq!(data, [(512, 5)]);
    }

    #[test]
    fn every_cut_of_a_tar_file_is_seen() {
        let file = tar(&[("toc.dat", b"PGDMP"), ("1.dat", &[7; 600])]);
        // The second block of zeros is filling.
        for length in 0..file.len() - 1023 {
            let (_, end) = names(&file[..length]);
            assert!(matches!(end, End::Truncated(_)), "{length}: {end:?}");
        }
    }

    #[test]
    fn a_changed_header_is_damaged() {
        let mut file = tar(&[("toc.dat", b"PGDMP")]);
        file[3] = b'x';
        assert_eq!(names(&file).1, End::Damaged);
    }

    #[test]
    fn sizes_above_8_gb_are_read() {
        let mut field = [0_u8; 12];
        field[0] = 0x80;
        field[4..].copy_from_slice(&9_000_000_000_u64.to_be_bytes());
        assert_eq!(number(&field), Some(9_000_000_000));
        assert_eq!(number(b"00000001000\0"), Some(512));
        assert_eq!(number(b"zzz"), None);
    }
}
