//! Next commands as they are pasted: on one line, and with the role that may run them.

use super::error::HealthError;
use super::finding::Finding;
use pgrx::prelude::*;

/// The command on one line. psql ends `\connect` at `\\`.
fn one_line(command: &str) -> String {
    match command.split_once('\n') {
        Some((first, rest)) if first.starts_with("\\connect ") => {
            format!("{first} \\\\ {}", rest.replace('\n', " "))
        }
        _ => command.replace('\n', " "),
    }
}

/// Puts each next command on one line.
pub(super) fn join_lines(findings: &mut [Finding]) {
    for command in findings.iter_mut().filter_map(|finding| finding.next_command.as_mut()) {
        *command = one_line(command);
    }
}

/// Names the role that may run a next command in its recommendation, if the caller may not.
pub(super) fn name_roles(findings: &mut [Finding]) -> Result<(), HealthError> {
    let mut advised: Vec<&mut Finding> =
        findings.iter_mut().filter(|finding| finding.next_command.is_some()).collect();
    if advised.is_empty() {
        return Ok(());
    }
    let commands: Vec<String> =
        advised.iter().map(|finding| finding.next_command.clone().unwrap_or_default()).collect();
    Spi::connect(|client| {
        let sql = include_str!("../../sql/health/command_roles.sql");
        for row in client.select(sql, None, &[commands.into()])? {
            let (Some(position), Some(role)) = (row.get::<i32>(1)?, row.get::<String>(2)?) else {
                continue;
            };
            let index = usize::try_from(position).unwrap_or(0).wrapping_sub(1);
            if let Some(finding) = advised.get_mut(index) {
                let advice = finding.recommendation.take().unwrap_or_default();
                finding.recommendation = Some(format!("As {role}: {advice}"));
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_command_has_one_line() {
        assert_eq!(one_line("SELECT 1;"), "SELECT 1;");
        assert_eq!(
            one_line("ALTER SYSTEM SET autovacuum = on;\nSELECT pg_reload_conf();"),
            "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();"
        );
        assert_eq!(
            one_line("\\connect shop\nROLLBACK PREPARED 'a';"),
            "\\connect shop \\\\ ROLLBACK PREPARED 'a';"
        );
    }
}
