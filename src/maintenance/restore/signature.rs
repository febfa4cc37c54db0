//! Kinds of files by their first bytes. Pure.

/// Bytes that [`recognise`] needs from the beginning of a file.
pub const LENGTH: usize = 1024;

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// An archive of pg_dump in its custom format, or the `toc.dat` of another format.
    Archive,
    /// A dump of one database as SQL.
    PlainDump,
    /// A dump of a whole cluster as SQL, by pg_dumpall.
    ClusterDump,
    /// A tar file.
    Tar,
    /// A file that this program encrypted.
    Encrypted(&'static str),
    /// A file that this program decompresses.
    Compressed(&'static str),
    /// No bytes at all.
    Empty,
    /// Anything else.
    Unknown,
}

/// Beginnings of compressed files, each with the program that decompresses it.
const COMPRESSED: [(&[u8], &str); 7] = [
    (b"\x1f\x8b", "gunzip"),
    (b"\x28\xb5\x2f\xfd", "unzstd"),
    (b"\x04\x22\x4d\x18", "unlz4"),
    (b"\xfd7zXZ\0", "unxz"),
    (b"BZh", "bunzip2"),
    (b"PK\x03\x04", "unzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
];

/// Beginnings of encrypted files, each with its program.
const ENCRYPTED: [(&[u8], &str); 4] = [
    (b"age-encryption.org/", "age"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "age"),
    (b"-----BEGIN PGP MESSAGE-----", "gpg"),
    (b"Salted__", "openssl"),
];

/// Recognises a file by its first [`LENGTH`] bytes, or by all of a shorter one.
pub fn recognise(head: &[u8]) -> Signature {
    if head.is_empty() {
        return Signature::Empty;
    }
    if head.starts_with(b"PGDMP") {
        return Signature::Archive;
    }
    if head.get(257..262) == Some(b"ustar") {
        return Signature::Tar;
    }
    let named = |table: &[(&[u8], &'static str)]| {
        table.iter().find(|(start, _)| head.starts_with(start)).map(|(_, program)| *program)
    };
    if let Some(program) = named(&COMPRESSED) {
        return Signature::Compressed(program);
    }
    if let Some(program) = named(&ENCRYPTED) {
        return Signature::Encrypted(program);
    }
    if is_openpgp(head) {
        return Signature::Encrypted("gpg");
    }
    let text = String::from_utf8_lossy(head);
    let mut comments = text.lines().take_while(|line| line.is_empty() || line.starts_with("--"));
    comments
        .find_map(|line| match line.trim_end() {
            "-- PostgreSQL database dump" => Some(Signature::PlainDump),
            "-- PostgreSQL database cluster dump" => Some(Signature::ClusterDump),
            _ => None,
        })
        .unwrap_or(Signature::Unknown)
}

/// Whether a file begins with an OpenPGP packet of an encrypted session key.
fn is_openpgp(head: &[u8]) -> bool {
    let Some(tag) = head.first() else { return false };
    // The version follows the length, whose own length is in the tag or in its first byte.
    let at = match tag {
        0x84 | 0x8c => 2,
        0x85 | 0x8d => 3,
        0xc1 | 0xc3 => match head.get(1) {
            Some(192..224) => 3,
            Some(255) => 6,
            _ => 2,
        },
        _ => return false,
    };
    let is_public_key = matches!(tag, 0x84 | 0x85 | 0xc1);
    match head.get(at) {
        Some(3 | 6) => is_public_key,
        Some(4 | 5) => !is_public_key,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_recognised_by_their_first_bytes() {
        let mut tar = vec![0; 512];
        tar[..7].copy_from_slice(b"toc.dat");
        tar[257..262].copy_from_slice(b"ustar");
        let cases: [(&[u8], Signature); 16] = [
            (b"", Signature::Empty),
            (b"PGDMP\x01\x0e\x00", Signature::Archive),
            (b"--\n-- PostgreSQL database dump\n--\n\n-- Dumped", Signature::PlainDump),
            (b"--\r\n-- PostgreSQL database dump\r\n--\r\n", Signature::PlainDump),
            (b"--\n-- PostgreSQL database cluster dump\n--\n", Signature::ClusterDump),
            (&tar, Signature::Tar),
            (b"\x1f\x8b\x08\x00", Signature::Compressed("gunzip")),
            (b"\x28\xb5\x2f\xfd\x04", Signature::Compressed("unzstd")),
            (b"age-encryption.org/v1\n", Signature::Encrypted("age")),
            (b"-----BEGIN PGP MESSAGE-----\n", Signature::Encrypted("gpg")),
            (b"\x8c\x0d\x04\x09\x03\x02", Signature::Encrypted("gpg")),
            (b"\x85\x02\x0c\x03\x11", Signature::Encrypted("gpg")),
            (b"Salted__\x01\x02", Signature::Encrypted("openssl")),
            (b"\x85\x02\x0c\x77\x11", Signature::Unknown),
            (b"SELECT 1;\n-- PostgreSQL database dump\n", Signature::Unknown),
            (b"\x7fELF", Signature::Unknown),
        ];
        for (head, expected) in cases {
            assert_eq!(recognise(head), expected, "{:?}", String::from_utf8_lossy(head));
        }
    }
}
