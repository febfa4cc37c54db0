//! Archives of pg_dump: their header, their table of contents, and whether all data follow.
//!
//! `pg_restore --list` reads the table of contents alone, and so accepts an archive that was cut in
//! its data.

use super::deadline::React;
use super::freshness::seconds_of;
use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, Read, Seek};

/// Blocks of data that are read between two calls of `react`.
const REACT_EVERY: u64 = 256;
/// Longest name that is kept, in bytes; PostgreSQL's have at most 63.
const LONGEST_NAME: u64 = 4096;

/// An archive that cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It ends too early, in this part.
    #[error("It ends in {0}")]
    Ends(String),
    /// Data of this part are absent.
    #[error("The data of {0} are missing")]
    Lacks(String),
    /// A byte has an impossible value.
    #[error("{0} is damaged")]
    Damaged(String),
    /// A format of a later pg_dump, or of one before PostgreSQL 12.
    #[error("Its format is {0}.{1}")]
    Unknown(u8, u8),
    /// The system refuses to read it.
    #[error("It cannot be read: {0}")]
    System(io::Error),
}

/// The header of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the format: 14 is that of PostgreSQL 12 to 15.
    pub minor: u8,
    /// The local time of the dump, in seconds since 1970 as if it were UTC.
    pub made_at: i64,
    /// The database that was dumped.
    pub database: Option<String>,
    /// The version of its server, such as `15.8 (Debian 15.8-1)`.
    pub server_version: Option<String>,
    /// The version of pg_dump.
    pub dump_version: Option<String>,
    is_custom: bool,
    int_size: usize,
    offset_size: usize,
    entries: u32,
}

/// An entry of the table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The number of the entry in this archive.
    pub id: i64,
    /// The kind in upper case, such as `TABLE DATA`.
    pub kind: String,
    /// The schema; empty for none.
    pub schema: String,
    /// The name.
    pub name: String,
    /// The owner; empty for none.
    pub owner: String,
    /// Whether data belong to it.
    pub has_data: bool,
    /// The file that holds the data; `None` in the custom format.
    pub file: Option<String>,
}

impl Entry {
    /// Its kind and name: `TABLE DATA public.orders`.
    pub fn label(&self) -> String {
        if self.schema.is_empty() {
            format!("{} {}", self.kind, self.name)
        } else {
            format!("{} {}.{}", self.kind, self.schema, self.name)
        }
    }
}

/// The part of an archive that is being read, for messages.
struct Source<'a, R> {
    reader: &'a mut R,
    part: String,
    int_size: usize,
}

impl<R: BufRead> Source<'_, R> {
    fn failed(&self, error: io::Error) -> ArchiveError {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            ArchiveError::Ends(self.part.clone())
        } else {
            ArchiveError::System(error)
        }
    }

    fn byte(&mut self) -> Result<u8, ArchiveError> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte).map_err(|error| self.failed(error))?;
        Ok(byte[0])
    }

    /// A sign, then the bytes of the number, lowest first.
    fn int(&mut self) -> Result<i64, ArchiveError> {
        let sign = self.byte()?;
        let mut bytes = [0; 8];
        let size = self.int_size;
        self.reader.read_exact(&mut bytes[..size]).map_err(|error| self.failed(error))?;
        let value = i64::from_le_bytes(bytes);
        match sign {
            0 => Ok(value),
            1 => Ok(-value),
            _ => Err(ArchiveError::Damaged(self.part.clone())),
        }
    }

    /// A text; `None` for NULL.
    fn text(&mut self) -> Result<Option<String>, ArchiveError> {
        let length = self.int()?;
        let Ok(length) = u64::try_from(length) else { return Ok(None) };
        let mut kept = Vec::new();
        let part = length.min(LONGEST_NAME);
        let read = self.reader.take(part).read_to_end(&mut kept);
        if read.map_err(|error| self.failed(error))? as u64 != part {
            return Err(ArchiveError::Ends(self.part.clone()));
        }
        self.skip(length - part)?;
        Ok(Some(String::from_utf8_lossy(&kept).into_owned()))
    }

    fn skip_text(&mut self) -> Result<(), ArchiveError> {
        let length = self.int()?;
        u64::try_from(length).map_or(Ok(()), |length| self.skip(length))
    }

    fn skip(&mut self, length: u64) -> Result<(), ArchiveError> {
        let copied = io::copy(&mut self.reader.take(length), &mut io::sink());
        if copied.map_err(|error| self.failed(error))? == length {
            Ok(())
        } else {
            Err(ArchiveError::Ends(self.part.clone()))
        }
    }
}

/// Reads the header of an archive, or of the `toc.dat` of another format.
pub fn read_header(reader: &mut impl BufRead) -> Result<Header, ArchiveError> {
    let mut source = Source { reader, part: "its header".into(), int_size: 4 };
    let mut fixed = [0; 11];
    source.reader.read_exact(&mut fixed).map_err(|error| source.failed(error))?;
    let [b'P', b'G', b'D', b'M', b'P', major, minor, _, int_size, offset_size, format] = fixed
    else {
        return Err(ArchiveError::Damaged(source.part));
    };
    if major != 1 || !(14..=16).contains(&minor) {
        return Err(ArchiveError::Unknown(major, minor));
    }
    if ![4, 8].contains(&int_size) || !(1..=8).contains(&offset_size) {
        return Err(ArchiveError::Damaged(source.part));
    }
    source.int_size = int_size.into();
    if minor >= 15 {
        source.byte()?;
    } else {
        source.int()?;
    }
    // From the second to the year, which counts from 1900. The months count from 0.
    let mut parts = [0; 6];
    for part in parts.iter_mut().rev() {
        *part = source.int()?.clamp(0, 10_000);
    }
    let [year, month, rest @ ..] = parts;
    let [day, hour, minute, second] = rest;
    let made_at = seconds_of([year + 1900, month + 1, day, hour, minute, second]);
    // Whether it is daylight saving time.
    source.int()?;
    let database = source.text()?;
    let server_version = source.text()?;
    let dump_version = source.text()?;
    source.part = "its table of contents".into();
    let entries = u32::try_from(source.int()?);
    let entries = entries.map_err(|_| ArchiveError::Damaged(source.part))?;
    Ok(Header {
        minor,
        made_at,
        database,
        server_version,
        dump_version,
        is_custom: format == 1,
        int_size: int_size.into(),
        offset_size: offset_size.into(),
        entries,
    })
}

/// Reads the table of contents, which follows the header.
pub fn read_entries(
    reader: &mut impl BufRead,
    header: &Header,
) -> Result<Vec<Entry>, ArchiveError> {
    let part = "its table of contents".into();
    let mut source = Source { reader, part, int_size: header.int_size };
    (0..header.entries).map(|_| read_entry(&mut source, header)).collect()
}

fn read_entry<R: BufRead>(source: &mut Source<R>, header: &Header) -> Result<Entry, ArchiveError> {
    let id = source.int()?;
    let has_dumper = source.int()? != 0;
    source.skip_text()?; // oid of its catalog
    source.skip_text()?; // its oid
    let name = source.text()?.unwrap_or_default();
    let kind = source.text()?.unwrap_or_default();
    source.int()?; // section
    source.skip_text()?; // definition
    source.skip_text()?; // DROP
    source.skip_text()?; // COPY
    let schema = source.text()?.unwrap_or_default();
    source.skip_text()?; // tablespace
    source.skip_text()?; // table access method
    if header.minor >= 16 {
        source.int()?; // kind of relation
    }
    let owner = source.text()?.unwrap_or_default();
    source.skip_text()?; // WITH OIDS
    while source.text()?.is_some() {} // dependencies
    let (has_data, file) = if header.is_custom {
        let state = source.byte()?;
        source.skip(header.offset_size as u64)?;
        // 3 stands for no data. An archive that was written to a pipe lacks the places of the data.
        (has_dumper && state != 3, None)
    } else {
        let file = source.text()?.filter(|file| !file.is_empty());
        (has_dumper && file.is_some(), file)
    };
    Ok(Entry { id, kind, schema, name, owner, has_data, file })
}

/// Walks the data of a custom archive, which follow the table of contents, without reading them.
pub fn check_data<R: BufRead + Seek>(
    reader: &mut R,
    header: &Header,
    entries: &[Entry],
    react: React<'_>,
) -> Result<(), ArchiveError> {
    let length = end_of(reader)?;
    let known: HashMap<i64, &Entry> = entries.iter().map(|entry| (entry.id, entry)).collect();
    let mut seen = HashSet::new();
    let mut blocks = 0;
    loop {
        let mut source =
            Source { reader: &mut *reader, part: "its data".into(), int_size: header.int_size };
        if source.reader.fill_buf().map_err(ArchiveError::System)?.is_empty() {
            break;
        }
        let kind = source.byte()?;
        let id = source.int()?;
        let entry = known.get(&id);
        source.part = entry
            .map_or_else(|| "its data".into(), |entry| format!("the data of {}", entry.label()));
        if entry.is_none() || !matches!(kind, 1 | 3) {
            return Err(ArchiveError::Damaged(source.part));
        }
        let mut chunks = |source: &mut Source<R>| -> Result<(), ArchiveError> {
            loop {
                let size = source.int()?;
                let Ok(size) = u64::try_from(size) else {
                    return Err(ArchiveError::Damaged(source.part.clone()));
                };
                if size == 0 {
                    return Ok(());
                }
                seek_over(source, size, length)?;
                blocks += 1;
                if blocks % REACT_EVERY == 0 {
                    react().map_err(ArchiveError::System)?;
                }
            }
        };
        if kind == 1 {
            chunks(&mut source)?;
        } else {
            // Large objects, each after its oid; oid 0 ends them.
            while source.int()? != 0 {
                chunks(&mut source)?;
            }
        }
        seen.insert(id);
    }
    let missing = |entry: &&Entry| entry.has_data && !seen.contains(&entry.id);
    entries.iter().find(missing).map_or(Ok(()), |entry| Err(ArchiveError::Lacks(entry.label())))
}

fn end_of(reader: &mut impl Seek) -> Result<u64, ArchiveError> {
    let here = reader.stream_position().map_err(ArchiveError::System)?;
    let end = reader.seek(io::SeekFrom::End(0)).map_err(ArchiveError::System)?;
    reader.seek(io::SeekFrom::Start(here)).map_err(ArchiveError::System)?;
    Ok(end)
}

/// A seek may go past the end of a file, so the length is compared.
fn seek_over<R: BufRead + Seek>(
    source: &mut Source<R>,
    size: u64,
    length: u64,
) -> Result<(), ArchiveError> {
    let here = source.reader.stream_position().map_err(ArchiveError::System)?;
    let distance = i64::try_from(size).ok().filter(|_| here + size <= length);
    let Some(distance) = distance else { return Err(ArchiveError::Ends(source.part.clone())) };
    // Keeps the buffer, unlike an absolute seek.
    source.reader.seek_relative(distance).map_err(ArchiveError::System)
}

#[cfg(test)]
mod tests;
