//! Removes the values from a statement's text, because reports have more readers than tables.
//! Pure.

/// A report shows at most so many characters of a statement.
pub(super) const MAX_CHARACTERS: usize = 300;

/// The statement on one line without comments, each literal a `?`, cut after `limit` characters.
/// Text that is not SQL is no error.
///
/// At a backslash before a quote the text ends. The session's `standard_conforming_strings` decides
/// whether that quote ends the literal, and either guess could show a value.
///
/// The server's own scanner cannot do this: it rejects the truncated text of pg_stat_activity.
pub(super) fn mask(sql: &str, limit: usize) -> String {
    let mut masked = Masked { text: String::new(), word_start: 0 };
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            _ if first.is_whitespace() => {
                masked.push_space();
                rest.trim_start()
            }
            '-' if rest.starts_with("--") => {
                masked.push_space();
                rest.find('\n').map_or("", |end| &rest[end..])
            }
            '/' if rest.starts_with("/*") => {
                masked.push_space();
                after_comment(rest)
            }
            '\'' => match after_literal(rest, masked.is_escaped()) {
                Some(after) => {
                    masked.push_quoted_literal();
                    after
                }
                None => {
                    masked.push_quoted_literal();
                    masked.text.push('…');
                    break;
                }
            },
            '"' => {
                let end = rest[1..].find('"').map_or(rest.len(), |end| end + 2);
                masked.push(&rest[..end]);
                &rest[end..]
            }
            '$' => match after_dollar_quote(rest) {
                Some(after) => {
                    masked.push_quoted_literal();
                    after
                }
                None => {
                    let end =
                        1 + rest[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - 1);
                    masked.push(&rest[..end]);
                    &rest[end..]
                }
            },
            '0'..='9' => {
                masked.push_literal();
                after_number(rest)
            }
            _ if is_word(first) => {
                let end = rest
                    .find(|c: char| !is_word(c) && !c.is_ascii_digit() && c != '$')
                    .unwrap_or(rest.len());
                masked.push(&rest[..end]);
                masked.word_start = masked.text.len() - end;
                &rest[end..]
            }
            _ => {
                masked.push(&rest[..first.len_utf8()]);
                &rest[first.len_utf8()..]
            }
        };
    }
    let text = masked.text.trim_end();
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

struct Masked {
    text: String,
    /// Offset of the last word. If no text follows it, it may be the prefix of a literal.
    word_start: usize,
}

impl Masked {
    fn push(&mut self, part: &str) {
        self.text.push_str(part);
        self.word_start = self.text.len();
    }

    fn push_space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.push(" ");
        }
    }

    fn push_literal(&mut self) {
        self.push("?");
    }

    /// Replaces a quoted literal together with its prefix.
    fn push_quoted_literal(&mut self) {
        if ["e", "b", "x", "n"].contains(&self.prefix().as_str()) {
            self.text.truncate(self.word_start);
        }
        if self.text.to_ascii_lowercase().ends_with(" u&") {
            self.text.truncate(self.text.len() - 2);
        }
        self.push_literal();
    }

    fn is_escaped(&self) -> bool {
        self.prefix() == "e"
    }

    fn prefix(&self) -> String {
        self.text[self.word_start..].to_ascii_lowercase()
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

/// Block comments nest in SQL.
fn after_comment(sql: &str) -> &str {
    let (mut depth, mut at) = (0, 0);
    while at < sql.len() {
        let here = &sql[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    &sql[at..]
}

/// `None` if the end of the literal is uncertain. A literal without an end takes the rest.
fn after_literal(sql: &str, is_escaped: bool) -> Option<&str> {
    let mut characters = sql.char_indices().skip(1).peekable();
    while let Some((_, c)) = characters.next() {
        match c {
            '\\' if is_escaped => {
                characters.next();
            }
            '\\' if characters.peek().is_some_and(|(_, next)| *next == '\'') => return None,
            '\'' => match characters.peek() {
                Some((_, '\'')) => {
                    characters.next();
                }
                Some((end, _)) => return Some(&sql[*end..]),
                None => return Some(""),
            },
            _ => {}
        }
    }
    Some("")
}

/// `None` if the dollar begins a parameter or an operator.
fn after_dollar_quote(sql: &str) -> Option<&str> {
    let tag = &sql[..sql[1..].find('$')? + 2];
    let mut name = tag[1..tag.len() - 1].chars();
    let is_tag = name.next().is_none_or(is_word) && name.all(|c| is_word(c) || c.is_ascii_digit());
    is_tag.then(|| sql[tag.len()..].find(tag).map_or("", |end| &sql[2 * tag.len() + end..]))
}

fn after_number(sql: &str) -> &str {
    let mut previous = '0';
    let end = sql.find(|c: char| {
        let continues = c.is_ascii_alphanumeric()
            || matches!(c, '.' | '_')
            || (matches!(c, '+' | '-') && matches!(previous, 'e' | 'E'));
        previous = c;
        !continues
    });
    &sql[end.unwrap_or(sql.len())..]
}

/// Masks the statement that follows `query: ` on the last line of a finding's evidence.
pub(super) fn mask_evidence(evidence: &str) -> String {
    const QUERY: &str = "\nquery: ";
    match evidence.split_once(QUERY) {
        Some((facts, query)) => format!("{facts}{QUERY}{}", mask(query, MAX_CHARACTERS)),
        None => evidence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_become_question_marks() {
        let cases = [
            (
                "SELECT * FROM users WHERE email = 'a@b.c' AND id = 42",
                "SELECT * FROM users WHERE email = ? AND id = ?",
            ),
            ("select 1,2.5e-3, 0xFF, -7, a1, t2.c3", "select ?,?, ?, -?, a1, t2.c3"),
            (
                "SELECT E'it\\'s', B'01', x'ff', N'n', U&'\\0041', 'it''s'",
                "SELECT ?, ?, ?, ?, ?, ?",
            ),
            ("SELECT 'one' 'two'", "SELECT ? ?"),
            ("DO $body$ secret $x$ more $body$ LANGUAGE x", "DO ? LANGUAGE x"),
            ("SELECT $1 + $2, $$secret$$", "SELECT $1 + $2, ?"),
            ("SELECT a -- secret\n, b /* se /* cr */ et */ FROM t", "SELECT a , b FROM t"),
            ("SELECT \"Quoted 1\", \"it\"\"s\" FROM t", "SELECT \"Quoted 1\", \"it\"\"s\" FROM t"),
            ("SELECT 'cut off", "SELECT ?"),
            ("SELECT $x$ cut off", "SELECT ?"),
            ("ALTER ROLE x PASSWORD 'geheim'", "ALTER ROLE x PASSWORD ?"),
            ("SELECT 'a\\' OR x = ' secret '", "SELECT ?…"),
            ("  SELECT\n\t1 ;  ", "SELECT ? ;"),
            ("SELECT näme, 'ü' FROM Zürich", "SELECT näme, ? FROM Zürich"),
            ("", ""),
        ];
        for (sql, masked) in cases {
            assert_eq!(mask(sql, 1_000), masked);
        }
        assert_eq!(mask("SELECT abcdef", 10), "SELECT abc…");
        assert_eq!(mask_evidence("pid 5\nquery: SELECT 'x'"), "pid 5\nquery: SELECT ?");
        assert_eq!(mask_evidence("'nothing' to hide"), "'nothing' to hide");
    }

    proptest! {
        #[test]
        fn values_never_show(value in "[a-z'\\\\$ ]{0,20}", kind in 0..4, column in "[a-z]{1,5}") {
            let secret = format!("S3CRET{value}S3CRET");
            let doubled = secret.replace('\'', "''");
            let literal = match kind {
                0 => format!("'{doubled}'"),
                1 => format!("E'{}'", secret.replace('\\', "\\\\").replace('\'', "\\'")),
                2 => format!("$tag${secret}$tag$"),
                _ => format!("/* {secret} */ 'x'"),
            };
            let sql = format!("SELECT {column} FROM t WHERE v = {literal} AND w = 1");
            let masked = mask(&sql, 1_000);
            prop_assert!(!masked.contains("S3CRET"), "{}", masked);
            let kept = format!("SELECT {column} FROM t WHERE v = ");
            prop_assert!(masked.starts_with(&kept), "{}", masked);
        }

        #[test]
        fn any_text_is_masked_within_the_limit(sql in "\\PC*", limit in 0..200_usize) {
            let once = mask(&sql, limit);
            prop_assert!(once.chars().count() <= limit + 1);
            prop_assert!(mask(&once, 10_000).chars().count() <= once.chars().count());
        }
    }
}
