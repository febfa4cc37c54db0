//! Functions of the extension that the worker runs, and their answers.

use super::context::Context;
use crate::pg::worker::{Outcome, Warning};
use serde_json::{Map, Value};

/// The worker sends an answer as a NOTICE that begins with this.
pub const ANSWER: &str = "answer: ";

/// Lets the worker run a query that returns a row as JSON text. It must run no code of users whose
/// messages could be taken for the answer. `None` without a worker.
pub fn ask(
    context: &mut Context,
    query: &str,
    mut settings: Vec<(String, String)>,
) -> Option<Outcome> {
    let sql = format!("DO $do$ BEGIN RAISE NOTICE '{ANSWER}%', ({query}); END $do$");
    settings.push(("client_min_messages".to_owned(), "notice".to_owned()));
    let mut statement = context.statement(sql, settings);
    statement.is_own = true;
    context.execute(&statement)
}

/// The answer among the messages of a statement.
pub fn answer(warnings: &[Warning]) -> Option<Map<String, Value>> {
    let text = warnings.iter().find_map(|warning| warning.message.strip_prefix(ANSWER))?;
    serde_json::from_str(text).ok()
}
