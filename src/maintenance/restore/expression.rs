//! Definitions that a restored dump writes in another form. Pure.
//!
//! The server stores `kind IN ('a', 'b')` on a varchar column as one cast of an array. Reading its
//! own text of that, it casts each element instead. Both mean the same.

/// Whether two texts of a definition mean the same.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    one == other || canonical(one) == canonical(other)
}

/// The tokens of a definition, each cast of an array moved to its elements.
fn canonical(text: &str) -> Vec<&str> {
    let mut tokens = tokens(text);
    // An inner cast is moved first, so that an outer one finds plain elements.
    let mut end = tokens.len();
    while let Some(start) = (0..end).rev().find(|at| tokens[*at..].starts_with(&["(", "ARRAY"])) {
        if let Some((moved, length)) = moved(&tokens[start..]) {
            tokens.splice(start..start + length, moved);
        }
        end = start;
    }
    tokens
}

/// `( ARRAY [ a , b ] ) :: type [ ]` as `ARRAY [ ( a ) :: type , ( b ) :: type ]`, with the number
/// of tokens that it replaces; `None` for anything else.
fn moved<'a>(tokens: &[&'a str]) -> Option<(Vec<&'a str>, usize)> {
    if !tokens.starts_with(&["(", "ARRAY", "["]) {
        return None;
    }
    let close = closing(tokens, 2)?;
    let (head, rest) = tokens.split_at(close + 1);
    let rest = rest.strip_prefix(&[")", "::"])?;
    let length = rest.windows(2).position(|pair| pair == ["[", "]"])?;
    let element_type = &rest[..length];
    let is_type = |token: &&str| {
        token.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"')
            || [".", "(", ")", ","].contains(token)
    };
    if element_type.is_empty() || !element_type.iter().all(is_type) {
        return None;
    }
    let moved = cast_elements(&head[1..], element_type);
    Some((moved, head.len() + 2 + length + 2))
}

/// `ARRAY [ a , b ]` with a cast of each element; elements that are arrays pass it on.
fn cast_elements<'a>(array: &[&'a str], element_type: &[&'a str]) -> Vec<&'a str> {
    let mut cast = vec!["ARRAY", "["];
    for (index, element) in elements(&array[2..array.len() - 1]).into_iter().enumerate() {
        if index > 0 {
            cast.push(",");
        }
        if element.starts_with(&["ARRAY", "["]) && closing(element, 1) == Some(element.len() - 1) {
            cast.extend(cast_elements(element, element_type));
        } else {
            let is_enclosed =
                element.first() == Some(&"(") && closing(element, 0) == Some(element.len() - 1);
            let inner = if is_enclosed { &element[1..element.len() - 1] } else { element };
            cast.push("(");
            cast.extend(inner);
            cast.extend([")", "::"]);
            cast.extend(element_type);
        }
    }
    cast.push("]");
    cast
}

/// The position of the bracket that closes the one at `open`.
fn closing(tokens: &[&str], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match *token {
            "(" | "[" => depth += 1,
            ")" | "]" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The parts between commas outside of brackets.
fn elements<'a, 'b>(tokens: &'b [&'a str]) -> Vec<&'b [&'a str]> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                parts.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    parts
}

/// Words, quoted texts, `::` and single characters. White space outside of quotes is left out.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => quoted_length(rest, '\'', false),
            '"' => quoted_length(rest, '"', false),
            'E' if rest[1..].starts_with('\'') => 1 + quoted_length(&rest[1..], '\'', true),
            ':' if rest.starts_with("::") => 2,
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// The length of a quoted text with its quotes, in bytes. An unclosed one reaches to the end.
fn quoted_length(text: &str, quote: char, has_escapes: bool) -> usize {
    let mut is_escaped = false;
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if is_escaped {
            is_escaped = false;
        } else if has_escapes && c == '\\' {
            is_escaped = true;
        } else if c == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return at + quote.len_utf8();
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cast_of_an_array_is_that_of_its_elements() {
        let pairs = [
            (
                "CHECK (((kind)::text = ANY ((ARRAY['a'::character varying, \
                 'b'::character varying])::text[])))",
                "CHECK (((kind)::text = ANY (ARRAY[('a'::character varying)::text, \
                 ('b'::character varying)::text])))",
            ),
            ("(ARRAY[c.kind, lower(x, 1)])::text[]", "ARRAY[(c.kind)::text, (lower(x, 1))::text]"),
            ("(ARRAY[1])::numeric(10,2)[]", "ARRAY[(1)::numeric(10,2)]"),
            (
                "(ARRAY[ARRAY['],'], ARRAY[x]])::\"T\".\"U v\"[]",
                "ARRAY[ARRAY[('],')::\"T\".\"U v\"], ARRAY[(x)::\"T\".\"U v\"]]",
            ),
            ("f((ARRAY[(ARRAY[a])::text[]])::b[])", "f(ARRAY[ARRAY[((a)::text)::b]])"),
        ];
        for (one, other) in pairs {
            assert!(is_same(one, other), "{:?}\n{:?}", canonical(one), canonical(other));
            assert!(is_same(other, one));
        }
    }

    #[test]
    fn other_elements_types_and_brackets_differ() {
        let text = "((a = ANY ((ARRAY['x'::character varying])::text[])) OR b) AND c";
        assert!(!is_same("(ARRAY(SELECT 1))::text[]", "ARRAY[(SELECT 1)::text]"));
        for other in [
            "((a = ANY (ARRAY[('y'::character varying)::text])) OR b) AND c",
            "((a = ANY (ARRAY[('x'::character varying)::bytea])) OR b) AND c",
            "(a = ANY (ARRAY[('x'::character varying)::text])) OR (b AND c)",
            "((a = ALL (ARRAY[('x'::character varying)::text])) OR b) AND c",
            "((a = ANY (ARRAY[('x '::character varying)::text])) OR b) AND c",
            "true",
            "",
        ] {
            assert!(!is_same(text, other), "{other}");
        }
    }

    #[test]
    fn white_space_counts_within_quotes_only() {
        assert!(is_same("SELECT a,\n    b", "SELECT a, b"));
        assert!(!is_same("'a  b'", "'a b'"));
        assert!(!is_same("E'\\' '", "E'\\'  '"));
        assert!(!is_same("\"a  b\"", "\"a b\""));
        assert!(!is_same("'it''s  x'", "'it''s x'"));
    }

    proptest! {
        #[test]
        fn any_text_is_the_same_as_itself_and_as_no_longer_one(
            text in "[(]?(ARRAY|\\[|\\]|\\(|\\)|::|text|,|'|\"|E'|\\PC| ){0,30}"
        ) {
            prop_assert!(is_same(&text, &text.clone()));
            let longer = format!("{text} x");
            prop_assert!(text.contains(['\'', '"']) || !is_same(&text, &longer));
        }
    }
}
