//! Plain dumps: SQL that psql runs as a whole. Pure.
//!
//! A dump of `pg_dump --create` drops, creates and enters a database by its name: the source's.
//! Therefore the whole text is read before psql gets it, with the quoting of SQL, so that the body
//! of a function is not taken for a command.

use super::deadline::React;
use std::io::{self, Read};

/// Bytes of a comment or a statement that are kept.
const KEPT: usize = 256;
/// Last comment of a dump.
const COMPLETE: &[u8] = b" PostgreSQL database dump complete";
const SERVER_VERSION: &[u8] = b" Dumped from database version ";

/// Objects outside a database. A statement that creates, alters or drops one may reach the source.
const SHARED: [&str; 6] = ["DATABASE", "ROLE", "USER", "GROUP", "TABLESPACE", "SYSTEM"];

/// A command that leaves the restored database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excursion {
    /// The number of its line, from 1.
    pub line: u64,
    /// The kind of command.
    pub command: &'static str,
}

/// Facts about a plain dump.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PlainDump {
    /// Whether the last comment of a dump was seen.
    pub is_complete: bool,
    /// The version of its server.
    pub server_version: Option<String>,
    /// The first command that leaves the database.
    pub excursion: Option<Excursion>,
    /// The table in whose data the text ends.
    pub open_table: Option<String>,
    /// Lines.
    pub lines: u64,
}

/// Reads a plain dump to its end. `react` is called for each 64 kB.
pub fn scan(reader: &mut impl Read, react: React<'_>) -> io::Result<PlainDump> {
    let mut scanner = Scanner::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        react()?;
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(scanner.end()),
            Ok(length) => scanner.push(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The place of a byte in SQL.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum State {
    #[default]
    Statement,
    /// A minus, a slash or a dollar sign that may begin a comment or a quoted text.
    Perhaps(u8),
    Text {
        has_escapes: bool,
    },
    /// A backslash in a text with escapes.
    Escape,
    Name,
    /// The tag after a dollar sign.
    Tag(Vec<u8>),
    /// A dollar-quoted text: its delimiter, and how much of it the last bytes are.
    Dollar(Vec<u8>, usize),
    Comment,
    /// A comment with slash and star: its depth, and the last byte.
    Block(usize, u8),
    /// A command of psql, to the end of its line.
    Command,
    /// The rest of the line of a COPY.
    BeforeData,
    /// Rows of a COPY: the first bytes of the line.
    Data,
}

#[derive(Default)]
struct Scanner {
    state: State,
    facts: PlainDump,
    /// The beginning of the present statement, comment, command or data line.
    kept: Vec<u8>,
    /// The first words of the statement and its last two, in upper case.
    words: Vec<String>,
    word: Vec<u8>,
    copied_table: Option<String>,
}

impl Scanner {
    fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if self.state == State::Data && self.kept.len() > 2 {
                // The rest of a row, quickly.
                let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return };
                self.step(b'\n');
                rest = &rest[end + 1..];
                continue;
            }
            self.step(*byte);
            rest = after;
        }
    }

    fn step(&mut self, byte: u8) {
        if byte == b'\n' {
            self.facts.lines += 1;
        }
        match std::mem::take(&mut self.state) {
            State::Statement => self.in_statement(byte),
            State::Perhaps(first) => self.after(first, byte),
            State::Text { has_escapes } => {
                self.state = match byte {
                    b'\'' => State::Statement,
                    b'\\' if has_escapes => State::Escape,
                    _ => State::Text { has_escapes },
                };
            }
            State::Escape => self.state = State::Text { has_escapes: true },
            State::Name => {
                self.state = if byte == b'"' { State::Statement } else { State::Name };
            }
            State::Tag(tag) => self.in_tag(tag, byte),
            State::Dollar(delimiter, matched) => {
                // A delimiter has dollar signs at its ends only, so a mismatch restarts it.
                let matched = match byte {
                    _ if byte == delimiter[matched] => matched + 1,
                    b'$' => 1,
                    _ => 0,
                };
                if matched < delimiter.len() {
                    self.state = State::Dollar(delimiter, matched);
                }
            }
            State::Comment if byte == b'\n' => self.end_comment(),
            State::Comment => {
                self.keep(byte);
                self.state = State::Comment;
            }
            State::Block(depth, last) => {
                let (depth, last) = match (last, byte) {
                    (b'*', b'/') => (depth - 1, 0),
                    (b'/', b'*') => (depth + 1, 0),
                    _ => (depth, byte),
                };
                if depth > 0 {
                    self.state = State::Block(depth, last);
                }
            }
            State::Command if byte == b'\n' => self.end_command(),
            State::Command => {
                self.keep(byte);
                self.state = State::Command;
            }
            State::BeforeData => {
                self.state = if byte == b'\n' { State::Data } else { State::BeforeData };
            }
            State::Data if byte == b'\n' => self.end_row(),
            State::Data => {
                self.keep(byte);
                self.state = State::Data;
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.kept.len() < KEPT {
            self.kept.push(byte);
        }
    }

    fn in_statement(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 {
            self.keep(byte);
            if self.word.len() < KEPT {
                self.word.push(byte.to_ascii_uppercase());
            }
            return;
        }
        let has_escapes = self.word == b"E";
        // A dollar sign inside a name begins no text.
        let is_in_name = !self.word.is_empty();
        self.end_word();
        match byte {
            b'\'' => self.state = State::Text { has_escapes },
            b'"' => self.state = State::Name,
            b'-' | b'/' => self.state = State::Perhaps(byte),
            b'$' if !is_in_name => self.state = State::Tag(Vec::new()),
            b'\\' => {
                self.kept.clear();
                self.state = State::Command;
            }
            b';' => self.end_statement(),
            _ => {}
        }
        if !self.kept.is_empty() {
            self.keep(byte);
        }
    }

    fn after(&mut self, first: u8, byte: u8) {
        match (first, byte) {
            (b'-', b'-') => {
                self.kept.clear();
                self.state = State::Comment;
            }
            (b'/', b'*') => self.state = State::Block(1, 0),
            _ => self.in_statement(byte),
        }
    }

    fn in_tag(&mut self, mut tag: Vec<u8>, byte: u8) {
        if byte == b'$' {
            let delimiter = [b"$".as_slice(), &tag, b"$"].concat();
            self.state = State::Dollar(delimiter, 0);
        } else if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 {
            tag.push(byte);
            self.state = State::Tag(tag);
        } else {
            self.in_statement(byte);
        }
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = String::from_utf8_lossy(&self.word).into_owned();
        self.word.clear();
        if self.words.len() >= 5 {
            self.words.remove(3);
        }
        self.words.push(word);
        if let Some(command) = shared_command(&self.words) {
            self.leave(command);
        }
    }

    fn end_statement(&mut self) {
        let is_copy = self.words.first().is_some_and(|word| word == "COPY")
            && self.words.ends_with(&["FROM".into(), "STDIN".into()]);
        if is_copy {
            let statement = String::from_utf8_lossy(&self.kept).into_owned();
            let table = statement.split(" (").next().unwrap_or(&statement);
            self.copied_table = Some(table.trim_start_matches("COPY ").to_owned());
            self.state = State::BeforeData;
        }
        self.words.clear();
        self.kept.clear();
    }

    fn end_comment(&mut self) {
        if self.kept.starts_with(COMPLETE) {
            self.facts.is_complete = true;
        }
        if let Some(version) = self.kept.strip_prefix(SERVER_VERSION) {
            let version = String::from_utf8_lossy(version).trim().to_owned();
            self.facts.server_version.get_or_insert(version);
        }
        self.kept.clear();
    }

    fn end_command(&mut self) {
        let command = String::from_utf8_lossy(&self.kept).into_owned();
        self.kept.clear();
        match command.split_whitespace().next().unwrap_or_default() {
            "restrict" | "unrestrict" | "." => {}
            // The line has been counted already.
            "connect" | "c" => self.leave_at(self.facts.lines, "\\connect"),
            _ => self.leave_at(self.facts.lines, "command of psql"),
        }
    }

    fn end_row(&mut self) {
        if self.kept == b"\\." {
            self.copied_table = None;
        } else {
            self.state = State::Data;
        }
        self.kept.clear();
    }

    fn leave(&mut self, command: &'static str) {
        self.leave_at(self.facts.lines + 1, command);
    }

    fn leave_at(&mut self, line: u64, command: &'static str) {
        self.facts.excursion.get_or_insert(Excursion { line, command });
    }

    fn end(mut self) -> PlainDump {
        match self.state {
            State::Comment => self.end_comment(),
            State::Command => {
                self.facts.lines += 1;
                self.end_command();
            }
            _ => {}
        }
        self.facts.open_table = self.copied_table;
        self.facts
    }
}

/// The name of a statement about objects outside the database, by its first words.
fn shared_command(words: &[String]) -> Option<&'static str> {
    let [verb, object, third] = words else { return None };
    if !["CREATE", "ALTER", "DROP"].contains(&verb.as_str()) || third == "MAPPING" {
        return None;
    }
    if !SHARED.contains(&object.as_str()) {
        return None;
    }
    Some(match object.as_str() {
        "DATABASE" => "statement on a database",
        "TABLESPACE" => "statement on a tablespace",
        "SYSTEM" => "statement on the server's settings",
        _ => "statement on a role",
    })
}

#[cfg(test)]
mod tests;
