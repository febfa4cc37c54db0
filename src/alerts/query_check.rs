//! The check of a rule's query before it is stored. No row is read.

use super::author::Author;
use super::error::AlertError;
use super::evaluation::wrapped;
use super::sandbox::in_sandbox;
use crate::pg::catalog::lookup;
use crate::pg::fmgr::spi;
use crate::pg::rewrite::statement::Analysed;
use crate::pg::xact::error_position::with_position;
use crate::pg::xact::subtransaction::{Failure, isolated};
use pgrx::prelude::*;

/// The name and type of a column.
type Column = (String, pg_sys::Oid);

/// Refuses a query that cannot be a rule's. No row is read.
pub fn check(query: &str, min_samples: i64, author: &str) -> Result<(), AlertError> {
    let counts = min_samples > 0;
    let (parsed, position) = with_position(|| isolated(|| spi::sole_statement(query)));
    let statement = parsed
        .map_err(|failure| invalid(failure, query, position))?
        .ok_or(AlertError::NotOneQuery)?;
    // As the role that will run it.
    let author = Author::of(false, author)?;
    let (analysed, position) = with_position(|| columns(&author, &statement));
    let position = position.and_then(|position| position.checked_sub(BEFORE.len()));
    let columns = analysed.map_err(|failure| invalid(failure, &statement, position))??;
    refuse_temporary(&author, &statement)?;
    let fits = columns.len() == if counts { 4 } else { 3 }
        && is_number(columns[1].1)
        && (!counts || is_number(columns[3].1));
    if !fits {
        let shown =
            columns.iter().map(|(name, type_)| format!("{name} ({})", lookup::type_name(*type_)));
        let found = match columns.len() {
            0 => "no column".to_owned(),
            _ => shown.collect::<Vec<_>>().join(", "),
        };
        return Err(AlertError::QueryShape { found, counts });
    }
    // In the form that will run.
    let sql = wrapped(&statement, counts, 1);
    in_sandbox(author.oid(), |_| match author {
        Author::Superuser(_) => Analysed::of(&sql).is_ok(),
        Author::Role(_) => Spi::connect(|client| client.prepare(sql.as_str(), &[]).is_ok()),
    })
    .map_err(|failure| invalid(failure, "", None))?
    .then_some(())
    .ok_or(AlertError::NotOneQuery)
}

/// The statement may have a LIMIT of its own.
const BEFORE: &str = "SELECT * FROM (\n";

/// The columns of a query that its role can plan.
fn columns(author: &Author, statement: &str) -> Result<Result<Vec<Column>, AlertError>, Failure> {
    let sql = format!("{BEFORE}{statement}\n) AS q LIMIT 0");
    in_sandbox(author.oid(), |sandbox| match author {
        Author::Role(_) => selected(&sql).map_err(|_| AlertError::NotOneQuery),
        Author::Superuser(_) => {
            let query = Analysed::of(&sql).map_err(|_| AlertError::NotOneQuery)?;
            let columns = query.columns();
            author.demote(sandbox, &query.objects())?;
            if query.locks_rows().map_err(|_| AlertError::NotOneQuery)? {
                return Err(AlertError::LocksRows);
            }
            Ok(columns)
        }
    })
}

fn refuse_temporary(author: &Author, statement: &str) -> Result<(), AlertError> {
    let objects =
        in_sandbox(author.oid(), |_| Analysed::of(statement).map(|query| query.objects()));
    // A statement with a literal that cannot be analysed here is sound otherwise.
    let Ok(Ok(objects)) = objects else { return Ok(()) };
    let relations = objects.relations.into_iter().map(pg_sys::Oid::from);
    let name = |relation| lookup::table_name(relation).unwrap_or_default();
    match relations.into_iter().find(|relation| lookup::is_temporary(*relation)) {
        Some(relation) => Err(AlertError::TemporaryTable(name(relation))),
        None => Ok(()),
    }
}

fn selected(sql: &str) -> Result<Vec<Column>, pgrx::spi::Error> {
    Spi::connect(|client| {
        let rows = client.select(sql, None, &[])?;
        (1..=rows.columns()?)
            .map(|number| Ok((rows.column_name(number)?, rows.column_type_oid(number)?.value())))
            .collect()
    })
}

fn is_number(type_: pg_sys::Oid) -> bool {
    [
        pg_sys::INT2OID,
        pg_sys::INT4OID,
        pg_sys::INT8OID,
        pg_sys::FLOAT4OID,
        pg_sys::FLOAT8OID,
        pg_sys::NUMERICOID,
    ]
    .contains(&lookup::base_type(type_))
}

fn invalid(failure: Failure, query: &str, position: Option<usize>) -> AlertError {
    AlertError::InvalidQuery {
        code: failure.code,
        message: failure.message,
        place: position.map_or_else(String::new, |position| place(query, position)),
    }
}

/// Line and column of a character, and the line itself.
fn place(query: &str, position: usize) -> String {
    let before: String = query.chars().take(position.saturating_sub(1)).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count()) + 1;
    let text = query.lines().nth(line - 1).unwrap_or_default().trim();
    let shown: String = text.chars().take(200).collect();
    format!("Line {line}, column {column}: {shown}\n")
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_place_has_line_and_column() {
        assert_eq!(place("SELECT é, wait\nFROM x", 11), "Line 1, column 11: SELECT é, wait\n");
        assert_eq!(place("SELECT a\n  FROM x", 17), "Line 2, column 8: FROM x\n");
        assert_eq!(place("", 1), "Line 1, column 1: \n");
    }
}
