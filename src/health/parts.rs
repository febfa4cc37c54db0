//! Expressions that several queries share: `@name@` stands for the file of that name.

/// Each expression with its text. Comments are left out: a line with one would end at the comment.
const PARTS: [(&str, &str); 6] = [
    ("@column_dependents@", include_str!("../../sql/health/parts/column_dependents.sql")),
    ("@horizon_holders@", include_str!("../../sql/health/parts/horizon_holders.sql")),
    ("@session_cut@", include_str!("../../sql/health/parts/session_cut.sql")),
    ("@session_kind@", include_str!("../../sql/health/parts/session_kind.sql")),
    ("@session_command@", include_str!("../../sql/health/parts/session_command.sql")),
    ("@signalable@", include_str!("../../sql/health/parts/signalable.sql")),
];

/// The query with its shared expressions. A part may use the parts that come after it.
pub fn expanded(sql: &str) -> String {
    PARTS.iter().fold(sql.to_owned(), |sql, (name, part)| match sql.contains(name) {
        true => sql.replace(name, &without_comments(part)),
        false => sql,
    })
}

fn without_comments(part: &str) -> String {
    part.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::expanded;

    #[test]
    fn parts_are_put_in_without_their_comments() {
        let sql = expanded("SELECT @session_kind@, @session_command@");
        assert!(sql.starts_with("SELECT CASE\n") && sql.ends_with("END"), "{sql}");
        assert!(!sql.contains("-- ") && !sql.contains('@'), "{sql}");
        assert_eq!(expanded("SELECT 1"), "SELECT 1");
        assert!(!expanded("@horizon_holders@").contains('@'));
    }
}
