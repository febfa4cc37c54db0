//! Lines of at most 100 columns, and sentences that begin with their subject.

use super::{files, text};
use std::path::Path;

const MAX_COLUMNS: usize = 100;

/// Fewer sentences than this may begin with one of `RIDDLES`, in all files together.
const RIDDLES_LIMIT: usize = 20;

/// Words with which a sentence hides its subject.
const RIDDLES: [&str; 7] = ["What", "Who", "Whose", "That", "Of", "Whoever", "Whatever"];

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy());
    endings.is_empty() || ending.is_some_and(|ending| endings.contains(&ending.as_ref()))
}

/// The files below `folder`, relative to the root and sorted, with one of these endings. No ending
/// stands for every file.
fn below(folder: &str, endings: &[&str]) -> Vec<String> {
    let root = harness::root();
    let mut found = Vec::new();
    files(&root.join(folder), &mut found);
    let mut names = Vec::new();
    for path in found.iter().filter(|path| has_ending(path, endings)) {
        let relative = path.strip_prefix(&root).expect("below the root");
        names.push(relative.to_string_lossy().into_owned());
    }
    names.sort();
    names
}

fn documents() -> Vec<String> {
    let mut names = below("docs", &["md"]);
    for entry in std::fs::read_dir(harness::root()).expect("a readable directory") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            names.push(name);
        }
    }
    names
}

/// The lines of a document, each with its number, outside code fences.
fn prose(document: &str) -> Vec<(usize, &str)> {
    let mut in_fence = false;
    let mut kept = Vec::new();
    for (index, line) in document.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        } else if !in_fence {
            kept.push((index + 1, line));
        }
    }
    kept
}

fn is_table(line: &str) -> bool {
    line.trim_start().starts_with('|')
}

fn is_link(line: &str) -> bool {
    line.contains("](") || line.contains("://")
}

#[test]
fn no_line_is_longer_than_100_columns() {
    let root = harness::root();
    let mut long = Vec::new();
    let mut check = |name: &str, number: usize, line: &str| {
        let columns = line.chars().count();
        if columns > MAX_COLUMNS {
            long.push(format!("{name}:{number}: {columns} columns"));
        }
    };
    let mut sources = below("src", &["rs"]);
    sources.extend(below("tests", &["rs", "py", "js", "java"]));
    sources.extend(below("sql", &[]));
    sources.extend(below("dev", &[]));
    for name in sources {
        for (index, line) in text(&root.join(&name)).lines().enumerate() {
            check(&name, index + 1, line);
        }
    }
    for name in documents() {
        for (number, line) in prose(&text(&root.join(&name))) {
            if !is_table(line) && !is_link(line) {
                check(&name, number, line);
            }
        }
    }
    assert!(long.is_empty(), "{}\n{} lines are too long", long.join("\n"), long.len());
}

/// A block of running text: where each of its lines begins, and the text.
#[derive(Default)]
struct Block {
    lines: Vec<(usize, usize)>,
    text: String,
}

impl Block {
    fn push(&mut self, number: usize, line: &str) {
        self.lines.push((self.text.len(), number));
        self.text.push_str(line.trim());
        self.text.push('\n');
    }

    fn line_at(&self, offset: usize) -> usize {
        self.lines.iter().rev().find(|(start, _)| *start <= offset).map_or(0, |(_, line)| *line)
    }

    /// The lines on which a sentence, or a clause after a colon, begins with a riddle.
    fn riddles(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut begins = true;
        let mut last = ' ';
        let mut offset = 0;
        for word in self.text.split_inclusive(char::is_whitespace) {
            let bare = word.trim().trim_start_matches(['(', '"', '\'', '*', '-', '>', '#']);
            let first: String = bare.chars().take_while(|c| c.is_alphabetic()).collect();
            let is_riddle = if last == ':' {
                RIDDLES.iter().any(|riddle| riddle.eq_ignore_ascii_case(&first))
            } else {
                RIDDLES.contains(&first.as_str())
            };
            if begins && is_riddle {
                found.push((self.line_at(offset), first));
            }
            let closing = [' ', '\n', '"', '\'', ')', '*'];
            if let Some(end) = word.trim_end_matches(closing).chars().last() {
                last = end;
                begins = matches!(end, '.' | ':' | '?' | '!') || (begins && bare.is_empty());
            }
            offset += word.len();
        }
        found
    }
}

/// Adjacent comment lines of a source file form a block; so does each string that begins with a
/// capital letter, as messages and COMMENTs do.
fn source_blocks(source: &str, comment: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut block = Block::default();
    for (index, line) in source.lines().enumerate() {
        let number = index + 1;
        let rest = line.trim_start().strip_prefix(comment);
        if let Some(rest) = rest {
            let rest = rest.trim_start_matches(['/', '!', '-']);
            if rest.trim().is_empty() {
                blocks.push(std::mem::take(&mut block));
            }
            block.push(number, rest);
            continue;
        }
        blocks.push(std::mem::take(&mut block));
        let (code, trailing) = line.split_once(&format!(" {comment} ")).unwrap_or((line, ""));
        if !trailing.is_empty() {
            let mut block = Block::default();
            block.push(number, trailing);
            blocks.push(block);
        }
        for quote in ['"', '\''] {
            for (position, _) in code.match_indices(quote) {
                let string = &code[position + 1..];
                if string.starts_with(|c: char| c.is_uppercase()) {
                    let mut block = Block::default();
                    block.push(number, string.split(quote).next().unwrap_or(string));
                    blocks.push(block);
                }
            }
        }
    }
    blocks.push(block);
    blocks
}

/// Paragraphs, list items, headings and the cells of tables.
fn document_blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut block = Block::default();
    for (number, line) in prose(document) {
        let start = line.trim_start();
        if is_table(line) {
            for cell in start.split('|') {
                let mut block = Block::default();
                block.push(number, cell);
                blocks.push(block);
            }
            continue;
        }
        if start.is_empty() || start.starts_with(['-', '*', '#']) {
            blocks.push(std::mem::take(&mut block));
        }
        block.push(number, line);
        if start.starts_with('#') {
            blocks.push(std::mem::take(&mut block));
        }
    }
    blocks.push(block);
    blocks
}

#[test]
fn sentences_begin_with_their_subject() {
    let root = harness::root();
    let mut found = Vec::new();
    let mut check = |name: &str, blocks: Vec<Block>| {
        for block in blocks {
            for (line, word) in block.riddles() {
                found.push(format!("{name}:{line}: {word}"));
            }
        }
    };
    for name in below("src", &["rs"]) {
        check(&name, source_blocks(&text(&root.join(&name)), "//"));
    }
    for name in below("sql", &[]) {
        check(&name, source_blocks(&text(&root.join(&name)), "--"));
    }
    for name in documents() {
        check(&name, document_blocks(&text(&root.join(&name))));
    }
    let total = found.len();
    assert!(total < RIDDLES_LIMIT, "{}\n{total} sentences hide their subject", found.join("\n"));
}
