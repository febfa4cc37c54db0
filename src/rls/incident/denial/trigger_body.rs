//! Reads the body of a trigger's PL/pgSQL function: whether it can refuse a row, which columns it
//! sets and which tables it writes. Pure.

/// A write to a table in a trigger's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// INSERT, UPDATE or DELETE.
    pub command: &'static str,
    /// The table as the body names it.
    pub table: String,
    /// Whether each call of the function reaches it, as no condition stands before it.
    pub is_certain: bool,
}

/// Facts about a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The columns of NEW that it sets, in lower case unless quoted.
    pub sets: Vec<String>,
    /// Whether it may raise an error.
    pub may_raise: bool,
    /// Whether it may skip the row by RETURN NULL.
    pub may_skip: bool,
    /// Whether it runs SQL that is built at run time, or calls another routine.
    pub is_opaque: bool,
    /// The tables that it writes.
    pub writes: Vec<Write>,
}

/// Words after which a statement may not be reached.
const CONDITIONS: [&str; 9] =
    ["if", "case", "loop", "for", "while", "foreach", "return", "raise", "exit"];

/// Reads a body.
#[must_use]
pub fn read(body: &str) -> Body {
    let tokens = tokens(body);
    let at = |i: usize| tokens.get(i).map_or("", String::as_str);
    let before = |i: usize| i.checked_sub(1).map_or("", at);
    let has_handler = tokens
        .iter()
        .enumerate()
        .any(|(i, token)| token == "exception" && before(i) != "raise" && at(i + 1) == "when");
    let mut found = Body::default();
    let mut is_guarded = has_handler;
    for (i, token) in tokens.iter().enumerate() {
        if let Some(column) = token.strip_prefix("new.")
            && (at(i + 1) == ":="
                || (at(i + 1) == "="
                    && [";", "begin", "then", "else", "loop"].contains(&before(i))))
        {
            found.sets.push(column.to_owned());
        }
        let write = |command, table: &str| Write {
            command,
            table: table.to_owned(),
            is_certain: !is_guarded,
        };
        match token.as_str() {
            "raise" => {
                let is_message = ["notice", "warning", "info", "log", "debug"].contains(&at(i + 1));
                found.may_raise |= !is_message;
            }
            "assert" => found.may_raise = true,
            "return" if at(i + 1) == "null" => found.may_skip = true,
            "execute" | "perform" | "call" => found.is_opaque = true,
            "into" if before(i) == "insert" => found.writes.push(write("INSERT", at(i + 1))),
            "update" if !["for", "do", "on", "key", "or", ""].contains(&before(i)) => {
                let only = usize::from(at(i + 1) == "only");
                found.writes.push(write("UPDATE", at(i + 1 + only)));
            }
            "from" if before(i) == "delete" => found.writes.push(write("DELETE", at(i + 1))),
            _ => {}
        }
        is_guarded |= CONDITIONS.contains(&token.as_str());
    }
    found
}

/// The words, names and operators of a body, without comments and texts. Qualified names are one
/// token; words without quotes are in lower case.
fn tokens(body: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '-' if chars.peek() == Some(&'-') => {
                for c in chars.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
            }
            '/' if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                for c in chars.by_ref() {
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
            }
            '\'' => {
                while let Some(c) = chars.next() {
                    if c == '\'' && chars.next_if_eq(&'\'').is_none() {
                        break;
                    }
                }
                tokens.push("''".to_owned());
            }
            '"' => {
                let mut name = String::from(c);
                for c in chars.by_ref() {
                    name.push(c);
                    if c == '"' {
                        break;
                    }
                }
                join(&mut tokens, name);
            }
            c if c.is_alphanumeric() || c == '_' || c == '$' => {
                let mut word: String = c.to_lowercase().collect();
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || "_$".contains(*c)) {
                    word.extend(c.to_lowercase());
                }
                join(&mut tokens, word);
            }
            ':' if chars.next_if_eq(&'=').is_some() => tokens.push(":=".to_owned()),
            '.' => match tokens.last_mut() {
                Some(last) => last.push('.'),
                None => tokens.push(".".to_owned()),
            },
            c if c.is_whitespace() => {}
            c => tokens.push(c.to_string()),
        }
    }
    tokens
}

/// Adds a word, to the token before it if that ends in a dot.
fn join(tokens: &mut Vec<String>, word: String) {
    match tokens.last_mut() {
        Some(last) if last.ends_with('.') => last.push_str(&word),
        _ => tokens.push(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_only_sets_a_column_refuses_nothing() {
        let body = read(
            "BEGIN NEW.updated_at = now(); NEW.\"Slug\" := lower(NEW.name); \
            RETURN NEW; END",
        );
        assert_eq!(body.sets, ["updated_at", "\"Slug\""]);
        assert!(!body.may_raise && !body.may_skip && !body.is_opaque && body.writes.is_empty());
    }

    #[test]
    fn a_comparison_sets_nothing() {
        let body = read("BEGIN IF NEW.a = 1 THEN RETURN NULL; END IF; RETURN NEW; END");
        assert!(body.sets.is_empty() && body.may_skip);
    }

    #[test]
    fn raised_errors_are_told_from_messages() {
        assert!(read("BEGIN RAISE EXCEPTION 'no'; END").may_raise);
        assert!(read("BEGIN RAISE insufficient_privilege; END").may_raise);
        assert!(!read("BEGIN RAISE NOTICE 'it''s raise exception'; END").may_raise);
        assert!(!read("BEGIN -- raise exception\n /* raise */ RETURN NEW; END").may_raise);
    }

    #[test]
    fn writes_are_certain_unless_a_condition_stands_before_them() {
        let write = |command, table: &str, is_certain| Write {
            command,
            table: table.to_owned(),
            is_certain,
        };
        let body = read(
            "BEGIN INSERT INTO public.\"Log\" (a) VALUES (NEW.id) ON CONFLICT DO UPDATE SET a = 1;
             IF TG_OP = 'x' THEN UPDATE ONLY stats SET n = n + 1; DELETE FROM old; END IF;
             PERFORM 1 FROM t FOR UPDATE; RETURN NEW; END",
        );
        assert_eq!(
            body.writes,
            [
                write("INSERT", "public.\"Log\"", true),
                write("UPDATE", "stats", false),
                write("DELETE", "old", false)
            ]
        );
        let handled =
            read("BEGIN INSERT INTO log VALUES (1); EXCEPTION WHEN others THEN NULL; END");
        assert_eq!(handled.writes, [write("INSERT", "log", false)]);
    }
}
