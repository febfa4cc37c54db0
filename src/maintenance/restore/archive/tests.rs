use super::*;
use std::io::Cursor;

/// An archive of the custom format with these tables, each with rows as two chunks.
struct Archive {
    bytes: Vec<u8>,
    /// The place of the first data.
    data: usize,
}

fn int(bytes: &mut Vec<u8>, value: i32) {
    bytes.push(u8::from(value < 0));
    bytes.extend_from_slice(&value.unsigned_abs().to_le_bytes());
}

fn text(bytes: &mut Vec<u8>, value: Option<&str>) {
    match value {
        None => int(bytes, -1),
        Some(value) => {
            int(bytes, value.len() as i32);
            bytes.extend_from_slice(value.as_bytes());
        }
    }
}

fn archive(minor: u8, tables: &[&str]) -> Archive {
    let mut bytes = b"PGDMP\x01".to_vec();
    bytes.extend_from_slice(&[minor, 0, 4, 8, 1]);
    if minor >= 15 {
        bytes.push(1)
    } else {
        int(&mut bytes, -1)
    }
    // 2026-11-28 04:30:05, from the second to the year, and no daylight saving time.
    [5, 30, 4, 28, 10, 126, 0].into_iter().for_each(|part| int(&mut bytes, part));
    text(&mut bytes, Some("shop"));
    text(&mut bytes, Some("15.8 (Debian)"));
    text(&mut bytes, Some("15.8"));
    int(&mut bytes, tables.len() as i32 + 1);
    let mut entry = |id: i32, name: &str, kind: &str, has_data: bool| {
        int(&mut bytes, id);
        int(&mut bytes, i32::from(has_data));
        text(&mut bytes, Some("1259"));
        text(&mut bytes, Some("16384"));
        text(&mut bytes, Some(name));
        text(&mut bytes, Some(kind));
        int(&mut bytes, 3);
        text(&mut bytes, Some(&"CREATE".repeat(2000)));
        text(&mut bytes, None);
        text(&mut bytes, Some("COPY"));
        text(&mut bytes, Some("public"));
        text(&mut bytes, Some(""));
        text(&mut bytes, Some("heap"));
        if minor >= 16 {
            int(&mut bytes, 114);
        }
        text(&mut bytes, Some("app"));
        text(&mut bytes, Some("false"));
        text(&mut bytes, Some("12"));
        text(&mut bytes, None);
        bytes.push(if has_data { 1 } else { 3 });
        bytes.extend_from_slice(&[0; 8]);
    };
    entry(1, "t", "TABLE", false);
    for (at, table) in tables.iter().enumerate() {
        entry(at as i32 + 2, table, "TABLE DATA", true);
    }
    let data = bytes.len();
    for at in 0..tables.len() {
        bytes.push(1);
        int(&mut bytes, at as i32 + 2);
        for _ in 0..2 {
            int(&mut bytes, 300);
            bytes.extend_from_slice(&[9; 300]);
        }
        int(&mut bytes, 0);
    }
    Archive { bytes, data }
}

fn check(bytes: &[u8]) -> Result<Vec<Entry>, ArchiveError> {
    let mut reader = io::BufReader::new(Cursor::new(bytes));
    let header = read_header(&mut reader)?;
    let entries = read_entries(&mut reader, &header)?;
    check_data(&mut reader, &header, &entries, &mut || Ok(()))?;
    Ok(entries)
}

#[test]
fn a_whole_archive_is_read() {
    for minor in [14, 15, 16] {
        let entries = check(&archive(minor, &["orders", "users"]).bytes).expect("sound");
        let named: Vec<_> = entries.iter().map(Entry::label).collect();
        assert_eq!(
            named,
            ["TABLE public.t", "TABLE DATA public.orders", "TABLE DATA public.users"]
        );
        assert_eq!(entries[1].owner, "app");
    }
    let bytes = archive(14, &[]).bytes;
    let header = read_header(&mut Cursor::new(&bytes)).expect("sound");
    assert_eq!(header.made_at, 1_795_840_205);
    assert_eq!(header.database.as_deref(), Some("shop"));
    assert_eq!(header.server_version.as_deref(), Some("15.8 (Debian)"));
}

#[test]
fn every_cut_of_an_archive_is_found() {
    let whole = archive(14, &["orders", "users"]);
    for length in 5..whole.bytes.len() {
        let error = check(&whole.bytes[..length]).expect_err("a cut archive");
        if length > whole.data {
            assert!(error.to_string().contains(" data"), "{length}: {error}");
        }
    }
}

#[test]
fn the_table_of_a_cut_is_named() {
    let whole = archive(16, &["orders", "users"]);
    let told = |length: usize| check(&whole.bytes[..length]).expect_err("a cut").to_string();
    assert_eq!(told(whole.bytes.len() - 1), "It ends in the data of TABLE DATA public.users");
    assert_eq!(told(whole.data), "The data of TABLE DATA public.orders are missing");
    assert_eq!(told(whole.data - 1), "It ends in its table of contents");
    assert_eq!(told(20), "It ends in its header");
}

#[test]
fn large_objects_are_walked() {
    let mut whole = archive(14, &["blobs"]);
    whole.bytes.truncate(whole.data);
    whole.bytes.push(3);
    int(&mut whole.bytes, 2);
    for oid in [16_400, 16_401] {
        int(&mut whole.bytes, oid);
        int(&mut whole.bytes, 5);
        whole.bytes.extend_from_slice(b"large");
        int(&mut whole.bytes, 0);
    }
    int(&mut whole.bytes, 0);
    check(&whole.bytes).expect("sound");
    assert!(check(&whole.bytes[..whole.bytes.len() - 3]).is_err());
}

#[test]
fn other_formats_and_damage_are_told() {
    let whole = archive(14, &["orders"]);
    let changed = |at: usize, value: u8| {
        let mut bytes = whole.bytes.clone();
        bytes[at] = value;
        check(&bytes).expect_err("a changed archive").to_string()
    };
    assert_eq!(changed(6, 20), "Its format is 1.20");
    assert_eq!(changed(6, 12), "Its format is 1.12");
    assert_eq!(changed(0, b'x'), "its header is damaged");
    assert_eq!(changed(whole.data, 7), "the data of TABLE DATA public.orders is damaged");
}
