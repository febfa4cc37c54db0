//! The source text of functions: without comments, and the query that a short PL/pgSQL body
//! returns.

/// The query that a PL/pgSQL body returns, if it does nothing else.
pub fn returned(source: &str) -> Option<String> {
    let keyword = |text: &str, word: &str| -> Option<String> {
        let rest = text.trim_start();
        let head = rest.get(..word.len())?;
        let after = rest.get(word.len()..)?;
        (head.eq_ignore_ascii_case(word) && after.starts_with(|c: char| !c.is_alphanumeric()))
            .then(|| after.to_owned())
    };
    let text = keyword(source, "begin")?;
    let text = keyword(&text, "return")?;
    let (expression, end) = text.split_once(';')?;
    let end = end.trim().trim_end_matches(';').trim();
    if !end.eq_ignore_ascii_case("end") {
        return None;
    }
    match keyword(expression, "query") {
        Some(query) => Some(query),
        None => Some(format!("SELECT {expression}")),
    }
}

/// SQL without comments. Quoted texts are kept as they are.
pub fn without_comments(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            let end = match c {
                '\'' | '"' => rest[1..].find(c).map_or(rest.len(), |end| end + 2),
                _ => c.len_utf8(),
            };
            text += &rest[..end];
            rest = &rest[end..];
            continue;
        };
        text.push(' ');
        rest = &rest[skipped..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_returned_query_of_a_short_body_is_found() {
        let found = |source| returned(source).map(|query| query.trim().to_owned());
        assert_eq!(found("BEGIN RETURN a; END"), Some("SELECT  a".to_owned()));
        assert_eq!(found("begin\n return query SELECT 1;\nend;"), Some("SELECT 1".to_owned()));
        assert_eq!(found("BEGIN IF a THEN RETURN b; END IF; END"), None);
        assert_eq!(found("DECLARE x int; BEGIN RETURN x; END"), None);
        assert_eq!(found("BEGIN RETURN a; PERFORM f(); END"), None);
    }

    #[test]
    fn comments_are_removed_and_quoted_texts_stay() {
        assert_eq!(without_comments("a -- b\n/* c */'--' \"/*\""), "a  \n '--' \"/*\"");
    }
}
